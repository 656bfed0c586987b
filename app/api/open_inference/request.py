"""Parse an inference request of the Open Inference Protocol: its pictures, and the outputs that the client wants.

The body is JSON, or JSON followed by the bytes of tensors (Triton's binary extension), or the bytes of one tensor.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from dataclasses import dataclass, field
from typing import Any, Self

from app.api.open_inference.outputs import DIGIT, PROBABILITIES
from app.api.open_inference.tensors import INPUT, pictures_from_tensor
from app.errors import InvalidBody, MalformedBody
from app.inference.picture_batch import PictureBatch
from app.input.json import parse_json
from app.input.pixels import shown
from app.settings import Settings
from digits.features import FEATURES


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    """An output tensor that the client wants."""

    name: str
    binary: bool = False
    classes: int = 0
    """The number of most probable classes to return as text, or more than there are. 0 returns the tensor itself."""


_USUAL_OUTPUTS = [RequestedOutput(PROBABILITIES), RequestedOutput(DIGIT)]
_USUAL_OUTPUTS_BINARY = [RequestedOutput(PROBABILITIES, binary=True), RequestedOutput(DIGIT, binary=True)]


@dataclass(slots=True)
class InferRequest(PictureBatch):
    id: str = ""
    outputs: list[RequestedOutput] = field(default_factory=lambda: _USUAL_OUTPUTS)

    @classmethod
    def of(cls, pictures: PictureBatch, version: int | None, id: str, outputs: list[RequestedOutput]) -> Self:  # noqa: A002
        return cls(pictures.pixels, pictures.encoded, mode=pictures.mode, version=version, id=id, outputs=outputs)


def read_request(body: bytes, *, header_length: bytes, settings: Settings, version: int | None = None) -> InferRequest:
    """Parse an inference request for the version that the path names.

    `header_length` is the value of `Inference-Header-Content-Length`, the size of the JSON in bytes. Empty means that
    the whole body is JSON, 0 that the body is one tensor.

    Raises BodyTooLarge, MalformedBody, InvalidBody, InvalidPixels and BatchTooLarge.
    """
    header, binary = body, b""
    if header_length:
        size = int(header_length) if header_length.isdigit() and len(header_length) < 12 else -1
        if not 0 <= size <= len(body):
            raise MalformedBody(
                f"expected Inference-Header-Content-Length to be a number from 0 to {len(body)}, the size of the body, "
                f"received {header_length[:20].decode('latin-1')!r}"
            )
        if size == 0:
            pictures = pictures_from_tensor("FP32", [1, FEATURES], body, settings.max_batch)
            return InferRequest.of(pictures, version, "", _USUAL_OUTPUTS_BINARY)
        header, binary = body[:size], body[size:]
    document = parse_json(header, settings)
    if not isinstance(document, dict):
        raise InvalidBody("expected an object with 'inputs', received another JSON value")
    tensor = only_input(document)
    data = _tensor_data(tensor, binary)
    request_id = document.get("id", "")
    if not isinstance(request_id, str):
        raise InvalidBody("expected 'id' to be a string, received another JSON value")
    pictures = pictures_from_tensor(tensor.get("datatype"), tensor.get("shape"), data, settings.max_batch)
    return InferRequest.of(pictures, version, request_id, requested_outputs(document))


def only_input(document: dict[str, Any]) -> dict[str, Any]:
    """Return the input tensor of a request. Raises InvalidBody."""
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        received = f"{len(inputs)} elements" if isinstance(inputs, list) else "no list"
        raise InvalidBody(f"expected 'inputs' to be a list of one tensor named {INPUT!r}, received {received}")
    tensor: dict[str, Any] = inputs[0]
    if tensor.get("name") != INPUT:
        raise InvalidBody(f"expected the input {INPUT!r}, received {shown(tensor.get('name'))}")
    return tensor


def _tensor_data(tensor: dict[str, Any], binary: bytes) -> list[Any] | bytes:
    """Return the tensor's values: the list in its JSON, or the bytes that follow the JSON."""
    parameters = _parameters(tensor, "the input")
    data = tensor.get("data")
    if "binary_data_size" in parameters:
        if data is not None:
            raise InvalidBody("expected either 'data' or 'binary_data_size', received both")
        size = parameters["binary_data_size"]
        if type(size) is not int or size != len(binary):
            raise InvalidBody(
                f"expected binary_data_size to be {len(binary)}, the number of bytes after the JSON, "
                f"received {shown(size)}"
            )
        return binary
    if binary:
        raise InvalidBody(
            f"expected an input with binary_data_size for the {len(binary)} bytes after the JSON, received none"
        )
    if not isinstance(data, list):
        raise InvalidBody(
            "expected 'data' to be a list, or binary_data_size and bytes after the JSON, received neither"
        )
    return data


def _parameters(owner: dict[str, Any], description: str) -> dict[str, str | int | float | bool]:
    parameters = owner.get("parameters") or {}
    if not isinstance(parameters, dict) or not set(map(type, parameters.values())) <= {str, int, float, bool}:
        raise InvalidBody(
            f"expected the parameters of {description} to be strings, numbers and booleans, received other values"
        )
    return parameters


def requested_outputs(document: dict[str, Any]) -> list[RequestedOutput]:
    """Return the outputs that the request names, or the usual ones when it names none. Raises InvalidBody.

    Only the version that answers knows whether it offers an output.
    """
    all_binary = _parameters(document, "the request").get("binary_data_output") is True
    named = document.get("outputs")
    if named is None or named == []:
        return _USUAL_OUTPUTS_BINARY if all_binary else _USUAL_OUTPUTS
    if not isinstance(named, list):
        raise InvalidBody("expected 'outputs' to be a list, received another JSON value")
    outputs: dict[str, RequestedOutput] = {}
    for output in named:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str):
            raise InvalidBody(f"expected each output to have a name, received {shown(name)}")
        if name in outputs:
            raise InvalidBody(f"expected each output once, received {shown(name)} again")
        parameters = _parameters(output, f"the output {shown(name)}")
        classes = parameters.get("classification", 0)
        if type(classes) is not int or classes < 0 or (classes and name != PROBABILITIES):
            raise InvalidBody(
                f"expected 'classification' to be a number of classes of {PROBABILITIES!r}, "
                f"received {shown(classes)} for {shown(name)}"
            )
        outputs[name] = RequestedOutput(name, parameters.get("binary_data", all_binary) is True, classes)
    return [*outputs.values()]
