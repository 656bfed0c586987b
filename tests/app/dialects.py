"""The dialects that the service speaks, each as an object that sends pictures and reads replies and errors."""

import functools
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from google.protobuf import descriptor_pool

from app.openapi.example_pictures import EXAMPLES
from digits.features import Grey
from digits.model.artifact import NAME
from tests.app.conftest import Service, grpc_channel
from tests.conftest import encoded

SEVEN: Grey = np.frombuffer((EXAMPLES / "seven.bin").read_bytes(), np.uint8).reshape(28, 28)
PNG = (EXAMPLES / "seven.png").read_bytes()
PHOTO = (EXAMPLES / "photo.jpg").read_bytes()
RAW: dict[str, Any] = {"content": SEVEN.tobytes(), "headers": {"content-type": "application/octet-stream"}}
"""A request for one seven, as arguments of httpx."""

Body = dict[str, Any]
"""A request's body and the headers that describe it, as arguments of httpx."""

PROBLEM = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply in any dialect."""

    status: int | grpc.StatusCode
    headers: Mapping[str, str]
    """For gRPC, the trailing metadata."""
    body: Any
    """JSON or a message, or the details of a refused gRPC call."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an error says."""

    status: int | grpc.StatusCode
    kind: str
    """The name of the error, or "" in a dialect without names."""
    detail: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to send pictures over HTTP."""

    name: str
    path: str
    probabilities: Callable[[Any], Any]
    """Returns the probabilities in the body of a reply, (N, 10)."""
    pixels: Callable[[Grey], Body] | None = None
    """Makes a request of pictures (N, 28, 28). None in a dialect without pixels."""
    files: Callable[[Sequence[bytes]], Body] | None = None
    """Makes a request of picture files. None in a dialect without files."""
    has_problems: bool = True
    """Whether errors are problem details. Otherwise, they are `{"error": "..."}`."""
    inflates: bool = False
    """Whether bodies may be compressed."""
    version_path: str = ""
    """The path for one model version, or "" in a dialect that cannot name one."""

    def __str__(self) -> str:
        return self.name

    def seven(self, *, times: int = 1) -> Body:
        if self.pixels is not None:
            return self.pixels(np.repeat(SEVEN[None], times, 0))
        assert self.files is not None
        return self.files([PNG] * times)

    def ask(
        self, service: Service, body: Body, headers: Mapping[str, str] | None = None, version: int | None = None
    ) -> Reply:
        path = self.path if version is None else self.version_path.format(version)
        all_headers = body.get("headers", {}) | (headers or {})
        reply = service.client.post(path, **(body | {"headers": all_headers}))
        return Reply(reply.status_code, reply.headers, read_json(reply))

    def refusal(self, reply: Reply) -> Refusal:
        """Check the form of an error, and return what it says."""
        if not self.has_problems:
            assert reply.headers["content-type"] == "application/json"
            assert list(reply.body) == ["error"]
            return Refusal(reply.status, "", reply.body["error"])
        assert reply.headers["content-type"] == PROBLEM
        kind = reply.body["type"].removeprefix("urn:digits:")
        detail = reply.body["detail"]
        expected = {
            "type": f"urn:digits:{kind}",
            "title": kind.replace("-", " ").capitalize(),
            "status": reply.status,
            "detail": detail,
        }
        if "errors" in reply.body:
            (error,) = reply.body["errors"]
            assert error.keys() == {"pointer", "detail"}
            expected["errors"] = [{"pointer": error["pointer"], "detail": detail}]
        assert reply.body == expected
        return Refusal(reply.status, kind, detail)


class GrpcDialect(Dialect):
    """Pictures in a `ModelInfer` call."""

    def ask(
        self, service: Service, body: Body, headers: Mapping[str, str] | None = None, version: int | None = None
    ) -> Reply:
        metadata = list((headers or {}).items())
        request = body["message"]
        request.model_version = "" if version is None else str(version)
        with grpc_channel(service) as channel:
            ask = channel.unary_unary(self.path)
            try:
                message, call = ask.with_call(request.SerializeToString(), timeout=20, metadata=metadata)
            except grpc.RpcError as exc:
                return Reply(exc.code(), dict(exc.trailing_metadata()), exc.details())
        return Reply(grpc.StatusCode.OK, dict(call.trailing_metadata()), message)

    def refusal(self, reply: Reply) -> Refusal:
        assert reply.status != grpc.StatusCode.OK
        return Refusal(reply.status, "", reply.body)


def read_json(reply: httpx.Response) -> Any:
    """Return the body of a reply. An Open Inference reply with binary tensors becomes one with numbers."""
    length = int(reply.headers.get("inference-header-content-length", 0))
    if not length:
        return reply.json()
    body, rest = json.loads(reply.content[:length]), reply.content[length:]
    for output in body["outputs"]:
        size = output["parameters"]["binary_data_size"]
        output["data"] = np.frombuffer(rest[:size], {"FP32": "<f4", "INT64": "<i8"}[output["datatype"]]).tolist()
        rest = rest[size:]
    assert rest == b""
    return body


@functools.cache
def triton_grpc() -> ModuleType:
    """Import Triton's gRPC client with its own pool of messages. Their names collide with those of KServe's client."""
    pool = descriptor_pool.DescriptorPool()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descriptor_pool, "Default", lambda: pool)
        import tritonclient.grpc

    client: ModuleType = tritonclient.grpc
    return client


def typed(kind: str, content: str | bytes | list[bytes]) -> Body:
    return {"content": content, "headers": {"content-type": kind}}


def raw(pictures: Grey) -> Body:
    return typed("application/octet-stream", pictures.tobytes())


def form(files: Sequence[bytes]) -> Body:
    return {"files": [("file", ("picture", file)) for file in files]}


def base64(content: bytes) -> str:
    return b64encode(content).decode()


def tensor(datatype: str, shape: Sequence[int], **more: Any) -> dict[str, Any]:
    return {"name": "features", "datatype": datatype, "shape": list(shape), **more}


def binary_infer(datatype: str, shape: Sequence[int], content: bytes) -> Body:
    """Return an Open Inference request with its JSON first and its tensor as bytes behind it."""
    inputs = [tensor(datatype, shape, parameters={"binary_data_size": len(content)})]
    header = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    return {"content": header + content, "headers": {"inference-header-content-length": str(len(header))}}


def length_prefixed(files: Sequence[bytes]) -> bytes:
    return b"".join(len(file).to_bytes(4, "little") + file for file in files)


def message(datatype: str, shape: Sequence[int], content: bytes) -> Body:
    messages = triton_grpc().service_pb2
    inputs = [messages.ModelInferRequest.InferInputTensor(name="features", datatype=datatype, shape=shape)]
    return {"message": messages.ModelInferRequest(model_name=NAME, inputs=inputs, raw_input_contents=[content])}


def of_predictions(body: Any) -> Any:
    return [prediction["probabilities"] for prediction in body.get("predictions", [body])]


def of_readings(body: Any) -> Any:
    return [digit["probabilities"] for reading in body.get("predictions", [body]) for digit in reading["digits"]]


def of_tensors(body: Any) -> Any:
    return np.reshape(body["outputs"][0]["data"], body["outputs"][0]["shape"])


def of_message(content: bytes) -> Any:
    reply = triton_grpc().service_pb2.ModelInferResponse.FromString(content)
    return np.frombuffer(reply.raw_output_contents[0], "<f4").reshape(reply.outputs[0].shape)


PREDICT, READ, INVOCATIONS = "/predict", "/read", "/invocations"
V1, V2 = f"/v1/models/{NAME}", f"/v2/models/{NAME}"
INFER = "/inference.GRPCInferenceService/ModelInfer"

DIALECTS = [
    Dialect("predict JSON", PREDICT, of_predictions, lambda some: {"json": {"instances": some.tolist()}}),
    Dialect("predict raw", PREDICT, of_predictions, raw),
    Dialect("predict form", PREDICT, of_predictions, files=form),
    Dialect("read", READ, of_readings, files=form),
    Dialect(
        "v1",
        f"{V1}:predict",
        lambda body: body["predictions"],
        lambda some: {"json": {"instances": (some / np.float32(255)).tolist()}},
        lambda files: {"json": {"instances": [{"b64": base64(file)} for file in files]}},
        has_problems=False,
        inflates=True,
        version_path=f"{V1}/versions/{{}}:predict",
    ),
    Dialect(
        "v2 JSON",
        f"{V2}/infer",
        of_tensors,
        lambda some: {"json": {"inputs": [tensor("UINT8", some.shape, data=some.ravel().tolist())]}},
        lambda files: {"json": {"inputs": [tensor("BYTES", [len(files)], data=[*map(base64, files)])]}},
        has_problems=False,
        inflates=True,
        version_path=f"{V2}/versions/{{}}/infer",
    ),
    Dialect(
        "v2 binary",
        f"{V2}/infer",
        of_tensors,
        lambda some: binary_infer("FP32", some.shape, (some / 255).astype("<f4").tobytes()),
        lambda files: binary_infer("BYTES", [len(files)], length_prefixed(files)),
        has_problems=False,
        inflates=True,
        version_path=f"{V2}/versions/{{}}/infer",
    ),
    Dialect(
        "invocations JSON",
        INVOCATIONS,
        lambda body: body["predictions"],
        lambda some: {"json": {"instances": (some / np.float32(255)).tolist()}},
        lambda files: {"json": {"instances": [{"b64": base64(file)} for file in files]}},
        inflates=True,
    ),
    Dialect("invocations", INVOCATIONS, lambda body: body["predictions"], raw, form),
    GrpcDialect(
        "gRPC",
        INFER,
        of_message,
        lambda some: message("UINT8", some.shape, some.tobytes()),
        lambda files: message("BYTES", [len(files)], length_prefixed(files)),
        has_problems=False,
        version_path=INFER,
    ),
]

HTTP = [dialect for dialect in DIALECTS if not isinstance(dialect, GrpcDialect)]


def each(dialects: Sequence[Dialect]) -> pytest.MarkDecorator:
    """Run a test in each of these dialects."""
    return pytest.mark.parametrize("dialect", dialects, ids=str)


BLANK = encoded(np.zeros((28, 28), np.uint8))
"""A picture file without ink."""
