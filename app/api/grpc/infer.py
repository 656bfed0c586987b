"""Read the message of a `ModelInfer` call as pictures, and write the predictions as its reply."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError

from app.api.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from app.api.open_inference.reply import output_tensor, to_bytes
from app.api.open_inference.request import InferRequest, RequestedOutput, only_input, requested_outputs
from app.api.open_inference.tensors import pictures_from_tensor
from app.asgi.reply import Reply
from app.errors import InvalidBody, MalformedBody
from app.inference.predictor import InferenceResult
from app.settings import Settings

_CONTENTS = {
    "FP32": "fp32_contents",
    "UINT8": "uint_contents",
    "BYTES": "bytes_contents",
    "INT64": "int64_contents",
}
"""The field of `InferTensorContents` for each datatype of an input or an output."""


def parse_message(kind: Any, body: bytes) -> Any:
    """Parse a message of this class. Raises MalformedBody."""
    try:
        return kind.FromString(body)
    except DecodeError as exc:
        raise MalformedBody(
            f"expected a {kind.DESCRIPTOR.full_name}, received {len(body)} bytes that are not one"
        ) from exc


def read_request(
    body: bytes, *, settings: Settings, requested_version: Callable[[str, str], int | None]
) -> InferRequest:
    """Parse the message of a call.

    Args:
        body: the message.
        settings: limit the number of pictures.
        requested_version: returns the number of a version by the names of model and version.

    Raises:
        UnknownModel, MalformedBody, InvalidBody, BatchTooLarge.
    """
    message = parse_message(ModelInferRequest, body)
    version = requested_version(message.model_name, message.model_version)
    # The shape that HTTP's JSON has, so that both have the same checks.
    document = {
        "inputs": [{"name": tensor.name} for tensor in message.inputs],
        "outputs": [{"name": output.name, "parameters": _values(output.parameters)} for output in message.outputs],
    }
    only_input(document)
    tensor = message.inputs[0]
    raw = list(message.raw_input_contents)
    data = _raw_data(tensor, raw) if raw else _typed_data(tensor)
    pictures, mode = pictures_from_tensor(tensor.datatype, list(tensor.shape), data, settings.max_batch)
    # A reply has its values in the form of the request, as other servers do it.
    outputs = [RequestedOutput(output.name, bool(raw), output.classes) for output in requested_outputs(document)]
    return InferRequest(pictures, mode, message.id, outputs, version)


def _values(parameters: Any) -> dict[str, Any]:
    """Return the values of parameters. A parameter without a value has None."""
    kinds = {name: parameter.WhichOneof("parameter_choice") for name, parameter in parameters.items()}
    return {name: kind and getattr(parameters[name], kind) for name, kind in kinds.items()}


def _raw_data(tensor: Any, raw: list[bytes]) -> bytes:
    if len(raw) != 1:
        raise InvalidBody(f"expected raw_input_contents for one input, received it for {len(raw)}")
    if tensor.HasField("contents"):
        raise InvalidBody("expected either 'contents' or 'raw_input_contents', received both")
    return raw[0]


def _typed_data(tensor: Any) -> list[Any]:
    """Return the values in the field for the tensor's datatype. `pictures_from_tensor` refuses other datatypes."""
    field = _CONTENTS.get(tensor.datatype, "")
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if field and filled != [field]:
        received = " and ".join(filled) or "neither"
        raise InvalidBody(f"expected {tensor.datatype} values in {field} or in raw_input_contents, received {received}")
    return list(getattr(tensor.contents, field)) if field else []


def infer_reply(request: InferRequest, result: InferenceResult) -> Reply:
    """Return the requested outputs as a `ModelInferResponse`."""
    manifest = result.batch.classifier.manifest
    message = ModelInferResponse(model_name=manifest.name, model_version=str(manifest.version), id=request.id)
    for output in request.outputs:
        tensor = output_tensor(output, result.batch)
        data = tensor["data"]
        written = message.outputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        if output.binary:
            message.raw_output_contents.append(to_bytes(data))
        else:
            values = [text.encode() for text in data] if output.classes else data
            getattr(written.contents, _CONTENTS[tensor["datatype"]]).extend(values)
    return message_reply(message, manifest.version, result.batch.pass_rows)


def message_reply(message: Any, version: int | None = None, batch: int | None = None) -> Reply:
    """Return a message as a reply."""
    return Reply(message.SerializeToString(), version, batch, headers=())
