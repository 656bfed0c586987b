"""Read the message of a `ModelInfer` call as pictures, and write the predictions as its reply."""

from typing import Any

from app.api.grpc.calls import Answer
from app.api.grpc.messages import ModelInferRequest, ModelInferResponse
from app.api.grpc.wire import check_contents, parse_message
from app.api.open_inference.inference import requested_version
from app.api.open_inference.reply import output_tensor, to_bytes
from app.api.open_inference.request import InferRequest, RequestedOutput, only_input, requested_outputs
from app.api.open_inference.tensors import pictures_from_tensor
from app.errors import InvalidBody
from app.inference.batching import Inference
from app.inference.model_registry import ModelRegistry
from app.settings import Settings

_CONTENTS = {
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
    "FP32": "fp32_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
}
"""The field of `InferTensorContents` for each datatype of an input or an output."""


def read_request(content: bytes, *, settings: Settings, registry: ModelRegistry) -> InferRequest:
    """Parse the message of a call. `registry` must know the version that it names.

    Raises UnknownModel, MalformedBody, InvalidBody, InvalidPixels and BatchTooLarge.
    """
    check_contents(ModelInferRequest.DESCRIPTOR, content, settings.max_batch)
    message = parse_message(ModelInferRequest, content)
    version = requested_version(registry, message.model_name, message.model_version)
    # The shape that HTTP's JSON has, so that both have the same checks.
    document = {
        "inputs": [{"name": tensor.name} for tensor in message.inputs],
        "outputs": [{"name": output.name, "parameters": _values(output.parameters)} for output in message.outputs],
    }
    only_input(document)
    tensor = message.inputs[0]
    raw = list(message.raw_input_contents)
    if len(raw) > 1:
        raise InvalidBody(f"expected raw_input_contents for one input, received it for {len(raw)}")
    if raw and tensor.HasField("contents"):
        raise InvalidBody("expected either 'contents' or 'raw_input_contents', received both")
    data = raw[0] if raw else _typed_data(tensor)
    pictures = pictures_from_tensor(tensor.datatype, list(tensor.shape), data, settings.max_batch)
    # A reply has its values in the form of the request, as other servers do it.
    outputs = [RequestedOutput(output.name, bool(raw), output.classes) for output in requested_outputs(document)]
    return InferRequest.of(pictures, version, message.id, outputs)


def _values(parameters: Any) -> dict[str, Any]:
    """Return the values of parameters. A parameter without a value has None."""
    kinds = {name: parameter.WhichOneof("parameter_choice") for name, parameter in parameters.items()}
    return {name: kind and getattr(parameters[name], kind) for name, kind in kinds.items()}


def _typed_data(tensor: Any) -> list[Any]:
    """Return the values in the field for the tensor's datatype. `pictures_from_tensor` refuses other datatypes."""
    field = _CONTENTS.get(tensor.datatype, "")
    filled = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    if field and filled != [field]:
        received = " and ".join(filled) or "neither"
        raise InvalidBody(f"expected {tensor.datatype} values in {field} or in raw_input_contents, received {received}")
    return list(getattr(tensor.contents, field)) if field else []


def infer_answer(request: InferRequest, result: Inference) -> Answer:
    manifest = result.classifier.manifest
    message = ModelInferResponse(model_name=manifest.name, model_version=str(manifest.version), id=request.id)
    for output in request.outputs:
        tensor = output_tensor(output, result)
        data = tensor["data"]
        written = message.outputs.add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])
        if output.binary:
            message.raw_output_contents.append(to_bytes(data))
        else:
            values = [text.encode() for text in data] if output.classes else data.tolist()
            getattr(written.contents, _CONTENTS[tensor["datatype"]]).extend(values)
    return Answer(message, result.classifier.model_id, result.pass_rows)
