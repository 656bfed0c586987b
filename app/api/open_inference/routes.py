"""The Open Inference Protocol V2 over HTTP, as KServe, Triton and MLServer speak it.

With Triton's binary tensors, classification and statistics. What is asked is translated to `Asked`, the answer from
`Answer`; all else is the core's. https://github.com/kserve/open-inference-protocol,
https://github.com/triton-inference-server/server/tree/main/docs/protocol
"""

import re
import struct
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from starlette._utils import get_route_path
from starlette.types import Receive, Scope

from app.asgi.reply import JSON, ROUTE, Reply
from app.errors import (
    BatchTooLarge,
    InvalidBody,
    MalformedBody,
    NotFound,
    NotOffered,
    UnknownModel,
    WrongMethod,
)
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import InferenceResult, Predictor
from app.input.body import (
    SHORT,
    TINY_PNG_BASE64,
    TINY_TEXT,
    PictureBatch,
    Reservation,
    is_quick,
    is_tiny_png,
    loads,
    opened,
    read_plain,
)
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits import artifact
from digits.errors import DigitsError
from digits.features import CLASSES, FEATURES, SIDE
from digits.mnist_form import Mode

_MODEL = f"/v2/models/{artifact.NAME}"

_INPUT, _PROBABILITIES, _DIGIT = "features", "probabilities", "digit"

_DTYPES: dict[str, np.dtype[Any]] = {"FP32": np.dtype("<f4"), "UINT8": np.dtype("u1")}
"""Of the tensors of numbers that are taken."""

_BINARY_TYPE = (b"content-type", b"application/octet-stream")
_HEADER_LENGTH = b"inference-header-content-length"

_NOT_OFFERED = ("/v2/trace/", "/v2/logging", "/v2/systemsharedmemory", "/v2/cudasharedmemory", "/v2/repository/")
"""Triton's, which its client can ask for."""

_PNG = re.compile(rb'"data"\s*:\s*\[\s*"%b[^"]*"\s*\]' % TINY_PNG_BASE64)
"""A lone one in base64."""

_OBJECTS = 100
"""Most in a long text: tensors, and their parameters."""

Parameters = dict[str, Any]
"""Strings, numbers and booleans."""


@dataclass(slots=True)
class _Output:
    """What is asked of one output."""

    name: str
    binary: bool = False
    classes: int = 0
    """So many of the most probable classes, as text; 0 is the tensor itself."""


_ALL = [_Output(_PROBABILITIES), _Output(_DIGIT)]
_ALL_BINARY = [_Output(_PROBABILITIES, binary=True), _Output(_DIGIT, binary=True)]


class _Request(NamedTuple):
    """An inference request, read."""

    asked: PictureBatch
    mode: Mode
    id: str
    outputs: list[_Output]


class OpenInference:
    """Answers `/v2` and all below it; called by `app.asgi.application`."""

    def __init__(
        self, settings: Settings, registry: ModelRegistry, predictor: Predictor, metrics: Metrics, version: str
    ) -> None:
        """With the core, as the server of this version."""
        self._settings = settings
        self._registry = registry
        self._predictor = predictor
        self._metrics = metrics
        self._version = version
        model = r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?"
        routes: list[tuple[str, str, str, Callable[..., Awaitable[Reply] | Reply]]] = [
            ("POST", rf"{model}/infer", "/v2/models/{model}/infer", self._infer),
            ("GET", "/v2/models/stats", "/v2/models/stats", self._stats),
            ("GET", "/v2/?", "/v2", self._server),
            ("GET", "/v2/health/live", "/v2/health/live", self._live),
            ("GET", "/v2/health/ready", "/v2/health/ready", self._ready),
            ("GET", f"{model}/?", "/v2/models/{model}", self._model),
            ("GET", f"{model}/ready", "/v2/models/{model}/ready", self._model_ready),
            ("GET", f"{model}/config", "/v2/models/{model}/config", self._config),
            ("GET", f"{model}/stats", "/v2/models/{model}/stats", self._stats),
            ("POST", "/v2/repository/index", "/v2/repository/index", self._index),
        ]
        self._routes = [(method, re.compile(pattern), label, answer) for method, pattern, label, answer in routes]

    async def __call__(self, scope: Scope, receive: Receive) -> Reply:
        """One request.

        Raises:
            NotFound, WrongMethod, NotOffered, UnknownModel, and what can be wrong with a body or a picture.
        """
        path = get_route_path(scope)
        if path == f"{_MODEL}/infer" and scope["method"] == "POST":  # what is asked thousands of times a second
            scope[ROUTE] = "/v2/models/{model}/infer"
            return await self._infer(scope, receive)
        allowed = []
        for method, pattern, label, answer in self._routes:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            scope[ROUTE] = label
            if scope["method"] == method or (method, scope["method"]) == ("GET", "HEAD"):
                found = answer(scope, receive, **match.groupdict())
                return found if isinstance(found, Reply) else await found
            allowed += [method, "HEAD"] if method == "GET" else [method]
        if allowed:
            allow = ", ".join(allowed)
            raise WrongMethod(f"expected {allow}, received {scope['method']}", allow)
        if path.startswith(_NOT_OFFERED):
            raise NotOffered(f"{path[:80]} is not offered by this server")
        raise NotFound(f"there is nothing at {path[:80]!r}; the Open Inference Protocol begins at /v2")

    def _server(self, _scope: Scope, _receive: Receive) -> Reply:
        return Reply.of(
            {
                "name": "digits",
                "version": self._version,
                "extensions": ["binary_tensor_data", "classification", "model_repository", "parameters", "statistics"],
            }
        )

    def _live(self, _scope: Scope, _receive: Receive) -> Reply:
        return Reply.of({"live": True})

    def _ready(self, _scope: Scope, _receive: Receive) -> Reply:
        reason = self._registry.unready_reason()
        if reason is None:
            return Reply.of({"ready": True, "live": True})
        return Reply.of({"ready": False, "live": True, "error": reason}, 503)

    def _model_ready(self, _scope: Scope, _receive: Receive, model: str, version: str | None) -> Reply:
        self._hold(model, version)
        reason = self._registry.unready_reason()
        state = {"name": model, "ready": reason is None}
        return Reply.of(state) if reason is None else Reply.of({**state, "error": reason}, 503)

    def _model(self, _scope: Scope, _receive: Receive, model: str, version: str | None) -> Reply:
        self._hold(model, version)
        return Reply.of(
            {
                "name": model,
                "versions": [str(version) for version in self._registry.loaded()],
                "platform": "onnx_onnxv1",
                "inputs": [{"name": _INPUT, "datatype": "FP32", "shape": [-1, FEATURES]}],
                "outputs": [
                    {"name": _PROBABILITIES, "datatype": "FP32", "shape": [-1, CLASSES]},
                    {"name": _DIGIT, "datatype": "INT64", "shape": [-1]},
                ],
            }
        )

    def _config(self, _scope: Scope, _receive: Receive, model: str, version: str | None) -> Reply:
        """As Triton's model configuration has it."""
        self._hold(model, version)
        return Reply.of(
            {
                "name": model,
                "platform": "onnxruntime_onnx",
                "backend": "onnxruntime",
                "max_batch_size": self._settings.max_batch,
                "input": [{"name": _INPUT, "data_type": "TYPE_FP32", "dims": [FEATURES]}],
                "output": [
                    {"name": _PROBABILITIES, "data_type": "TYPE_FP32", "dims": [CLASSES]},
                    {"name": _DIGIT, "data_type": "TYPE_INT64", "dims": []},
                ],
                "dynamic_batching": {},
            }
        )

    def _index(self, _scope: Scope, _receive: Receive) -> Reply:
        """All versions that there are; READY are those that can be asked for, which a removed one still may be."""
        loaded = self._registry.loaded()
        # The first of a number counts, which was published; the shipped one comes after it.
        reasons = {known.version: known.reason or "" for known in reversed(self._registry.versions())}
        return Reply.of(
            [
                {
                    "name": artifact.NAME,
                    "version": str(version),
                    "state": "READY" if version in loaded else "UNAVAILABLE",
                    "reason": reasons.get(version, ""),
                }
                for version in sorted({*reasons, *loaded}, reverse=True)
            ]
        )

    def _stats(self, _scope: Scope, _receive: Receive, model: str = artifact.NAME, version: str | None = None) -> Reply:
        """Of all workers, and of requests in any dialect where it is about passes."""
        number = self._hold(model, version)
        counted = self._metrics.statistics()
        return Reply.of(
            {"model_stats": [_statistics(one, counted) for one in ([number] if number else self._registry.loaded())]}
        )

    async def _infer(
        self, scope: Scope, receive: Receive, model: str = artifact.NAME, version: str | None = None
    ) -> Reply:
        number = self._hold(model, version)
        _ = self._registry.classifier  # without one the body is not even read
        decode_threads = self._predictor.decode_threads
        length = next((value for name, value in scope["headers"] if name == _HEADER_LENGTH), b"")
        began = time.perf_counter()
        try:
            with Reservation(self._predictor.memory_budget) as reservation:
                body = await read_plain(receive, scope["headers"], self._settings, reservation, decode_threads)
                read = partial(_read, body, length, self._settings)
                request = read() if _is_quick(body, length) else await decode_threads.of(len(body)).run(read)
                decoded = time.perf_counter()
                answer = await self._predictor.answer(request.asked, request.mode, receive, number)
        except DigitsError:
            self._metrics.inferred(
                number or self._registry.classifier.manifest.version, fail=time.perf_counter() - began
            )
            raise
        answered = time.perf_counter()
        reply = _reply(request, answer)
        ended = time.perf_counter()
        self._metrics.inferred(
            answer.answered.classifier.manifest.version,
            success=ended - began,
            compute_input=decoded - began,
            compute_output=ended - answered,
        )
        return reply

    def _hold(self, model: str, version: str | None) -> int | None:
        """The version that is asked for; None for the served one. Raises UnknownModel unless it is loaded."""
        if model != artifact.NAME:
            raise UnknownModel(f"expected the model {artifact.NAME!r}, received {model[:40]!r}")
        if version is None:
            return None
        if not version.isdecimal() or len(version) > 9:
            raise UnknownModel(f"expected a version's number, received {version[:20]!r}")
        return self._registry.version(int(version)).manifest.version


def _statistics(version: int, counted: dict[str, dict[tuple[str, str], float]]) -> dict[str, Any]:
    """One version's, as Triton has them."""

    def spent(count: str, seconds: str, label: str) -> dict[str, int]:
        key = str(version), label
        return {"count": int(counted[count].get(key, 0)), "ns": round(counted[seconds].get(key, 0) * 1e9)}

    none = {"count": 0, "ns": 0}
    parts = ("success", "fail", "compute_input", "compute_output")
    queue = counted["digits_queue_seconds"]
    of_part = {part: spent("digits_inference_parts", "digits_inference_part_seconds", part) for part in parts}
    sizes = sorted(int(size) for of_version, size in counted["digits_passes"] if of_version == str(version))
    passes = {size: spent("digits_passes", "digits_pass_seconds", str(size)) for size in sizes}
    infer = {what: sum(one[what] for one in passes.values()) for what in ("count", "ns")}
    return {
        "name": artifact.NAME,
        "version": str(version),
        "last_inference": round(1000 * counted[Metrics.LAST].get((str(version), Metrics.LAST), 0)),
        "inference_count": sum(size * one["count"] for size, one in passes.items()),
        "execution_count": infer["count"],
        "inference_stats": {
            **of_part,
            # Of all versions that are loaded.
            "queue": {"count": int(queue["", "count"]), "ns": round(queue["", "sum"] * 1e9)},
            "compute_infer": infer,
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": [
            {"batch_size": size, "compute_input": none, "compute_infer": one, "compute_output": none}
            for size, one in passes.items()
        ],
    }


def _is_quick(body: bytes, length: bytes) -> bool:
    """Whether it is read sooner than a thread is asked to."""
    if len(body) > SHORT:
        return False
    size = int(length) if length.isdigit() and len(length) < 12 else len(body)
    text, rest = body[:size], body[size:]
    # A lone one: then it is known what it is.
    if rest:
        tiny = rest[:4] == struct.pack("<I", len(rest) - 4) and is_tiny_png(rest[4:])
    else:
        tiny = len(text) <= TINY_TEXT and text.count(b'"data"') == 1 and _PNG.search(text) is not None
    return is_quick(text, b"BYTES", tiny=tiny)


def _read(body: bytes, length: bytes, settings: Settings) -> _Request:
    """The body of an inference request: JSON, JSON and the bytes of tensors after it, or a tensor's bytes alone."""
    header, rest = body, b""
    if length:
        size = int(length) if length.isdigit() and len(length) < 12 else -1
        if not 0 <= size <= len(body):
            raise MalformedBody(
                f"expected Inference-Header-Content-Length to be a number from 0 to the {len(body)} bytes of the body, "
                f"received {length[:20].decode('latin-1')!r}"
            )
        if size == 0:
            return _raw(body)
        header, rest = body[:size], body[size:]
    document = loads(header, settings.max_batch, objects=_OBJECTS)
    if not isinstance(document, dict):
        raise InvalidBody("expected an object with 'inputs', received something else")
    tensor = _only_input(document)
    parameters = _parameters(tensor, "the input")
    data: Any = tensor.get("data")
    if "binary_data_size" in parameters:
        size = parameters["binary_data_size"]
        if data is not None:
            raise InvalidBody("expected 'data' or 'binary_data_size', received both")
        if type(size) is not int or size != len(rest):
            raise InvalidBody(
                f"expected binary_data_size to be the {len(rest)} bytes after the JSON, received {size!r}"
            )
        data = rest
    elif rest:
        raise InvalidBody(
            f"expected an input with binary_data_size for the {len(rest)} bytes after the JSON, received none"
        )
    elif not isinstance(data, list):
        raise InvalidBody(
            "expected 'data' to be a list, or binary_data_size for bytes after the JSON, received neither"
        )
    identity = document.get("id", "")
    if not isinstance(identity, str):
        raise InvalidBody("expected 'id' to be a string, received something else")
    asked, mode = _asked(tensor.get("datatype"), tensor.get("shape"), data, settings)
    return _Request(asked, mode, identity, _outputs(document))


def _raw(body: bytes) -> _Request:
    """One picture's features, without a word: all outputs come back the same way."""
    if len(body) != 4 * FEATURES:
        raise InvalidBody(f"expected {4 * FEATURES} bytes, {FEATURES} little-endian FP32, received {len(body)}")
    pixels = _in_range(np.frombuffer(body, _DTYPES["FP32"])).reshape(1, SIDE, SIDE)
    return _Request(PictureBatch(single=False, pointer="", pixels=pixels), "never", "", _ALL_BINARY)


def _only_input(document: dict[str, Any]) -> dict[str, Any]:
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        came = f"{len(inputs)} of them" if isinstance(inputs, list) else "none"
        raise InvalidBody(f"expected 'inputs' to be a list of one tensor, named {_INPUT!r}, received {came}")
    tensor: dict[str, Any] = inputs[0]
    if tensor.get("name") != _INPUT:
        raise InvalidBody(f"expected the input {_INPUT!r}, received {str(tensor.get('name'))[:40]!r}")
    return tensor


def _parameters(of: dict[str, Any], what: str) -> Parameters:
    parameters = of.get("parameters") or {}
    if not isinstance(parameters, dict) or not set(map(type, parameters.values())) <= {str, int, float, bool}:
        raise InvalidBody(f"expected the parameters of {what} to be strings, numbers and booleans, received others")
    return parameters


def _asked(datatype: Any, shape: Any, data: list[Any] | bytes, settings: Settings) -> tuple[PictureBatch, Mode]:
    """A tensor as pictures. What is FP32 goes to the network as it is; the others are pictures, to be normalized."""
    if datatype not in ("FP32", "UINT8", "BYTES"):
        raise InvalidBody(f"expected the datatype FP32, UINT8 or BYTES, received {str(datatype)[:20]!r}")
    rows = _rows(datatype, shape)
    if rows > settings.max_batch:
        raise BatchTooLarge(f"expected at most {settings.max_batch} pictures, received {rows}")
    if datatype == "BYTES":
        pictures = _elements(data) if isinstance(data, bytes) else _decoded(data)
        if len(pictures) != rows:
            raise InvalidBody(f"expected {rows} elements, as the shape says, received {len(pictures)}")
        return opened(pictures, settings, "").many(), "auto"
    values = _numbers(datatype, data)
    if values.size != rows * FEATURES:
        raise InvalidBody(f"expected {rows * FEATURES} values, as the shape says, received {values.size}")
    pixels = values.reshape(rows, SIDE, SIDE)
    return PictureBatch(single=False, pointer="", pixels=pixels), "never" if datatype == "FP32" else "auto"


def _rows(datatype: str, shape: Any) -> int:
    """How many pictures a tensor of this shape holds."""
    if isinstance(shape, list) and shape and set(map(type, shape)) == {int} and shape[0] > 0:
        of_one = shape[1:]
        if of_one in ([], [1]) if datatype == "BYTES" else of_one in ([FEATURES], [SIDE, SIDE]):
            return int(shape[0])
    expected = "[N]" if datatype == "BYTES" else f"[N,{FEATURES}] or [N,{SIDE},{SIDE}]"
    raise InvalidBody(f"unexpected shape for input {_INPUT!r}: expected {expected}, received {str(shape)[:60]}")


def _numbers(datatype: str, data: list[Any] | bytes) -> NDArray[Any]:
    dtype = _DTYPES[datatype]
    if isinstance(data, bytes):
        if len(data) % dtype.itemsize:
            raise InvalidBody(f"expected {datatype} values of {dtype.itemsize} bytes, received {len(data)} bytes")
        values = np.frombuffer(data, dtype)
        return values if datatype == "UINT8" else _in_range(values)
    flat = data
    for _ in range(3):
        if not flat or not isinstance(flat[0], list):
            break
        if set(map(type, flat)) != {list}:
            raise InvalidBody("expected 'data' to be flat, or nested as the shape says, received a mixture")
        flat = list(chain.from_iterable(flat))
    if datatype == "UINT8":
        try:
            return np.frombuffer(bytes(flat), dtype)
        except (TypeError, ValueError):
            pass
        raise InvalidBody("expected whole numbers from 0 to 255, received others; for 0 to 1 say FP32")
    if not set(map(type, flat)) <= {int, float}:
        raise InvalidBody("expected 'data' to be numbers, received others")
    return _in_range(np.array(flat, dtype=np.float64)).astype(np.float32)


_ONE = 0x3F800000
"""The bits of 1 as FP32. Those of all numbers from 0 to 1 are not more; those of any other are, and of a negative 0."""


def _in_range(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == _DTYPES["FP32"] and values.size and values.view("<u4").max() <= _ONE:  # one look instead of two
        return values
    if values.size and not (values.min() >= 0 and values.max() <= 1):  # NaN is neither
        raise InvalidBody("expected FP32 values from 0 to 1, received others; send pixels from 0 to 255 as UINT8")
    return values


def _elements(data: bytes) -> list[bytes]:
    """BYTES in binary: each with its length before it, four bytes, little-endian."""
    elements, at = [], 0
    while at < len(data):
        end = at + 4 + (struct.unpack_from("<I", data, at)[0] if at + 4 <= len(data) else len(data))
        if end > len(data):
            raise InvalidBody("expected BYTES with the length of each element before it, received a part of one")
        elements.append(data[at + 4 : end])
        at = end
    return elements


def _decoded(data: list[Any]) -> list[bytes]:
    """BYTES in JSON: base64, since an encoded picture is no text."""
    try:
        return [b64decode(element, validate=True) for element in data]
    except (TypeError, ValueError) as exc:
        raise InvalidBody("expected BYTES in JSON to be pictures in base64, received others") from exc


def _outputs(document: dict[str, Any]) -> list[_Output]:
    """Those that are asked for; all where none is named."""
    all_binary = _parameters(document, "the request").get("binary_data_output") is True
    wanted = document.get("outputs")
    if not wanted:
        return _ALL_BINARY if all_binary else _ALL
    if not isinstance(wanted, list):
        raise InvalidBody("expected 'outputs' to be a list, received something else")
    outputs = []
    for output in wanted:
        name = output.get("name") if isinstance(output, dict) else None
        if name not in (_PROBABILITIES, _DIGIT):
            raise InvalidBody(f"expected the outputs {_PROBABILITIES!r} and {_DIGIT!r}, received {str(name)[:40]!r}")
        parameters = _parameters(output, f"the output {name!r}")
        classes = parameters.get("classification", 0)
        if type(classes) is not int or classes < 0 or (classes and name == _DIGIT):
            raise InvalidBody(f"expected a number of classes, of {_PROBABILITIES!r}, received {classes!r} of {name!r}")
        outputs.append(_Output(name, parameters.get("binary_data", all_binary) is True, min(classes, CLASSES)))
    return outputs


def _reply(request: _Request, answer: InferenceResult) -> Reply:
    answered = answer.answered
    tensors: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for output in request.outputs:
        tensor: dict[str, Any]
        rows = len(answered.digits)
        if output.classes:
            texts = _classified(answered.probabilities, output.classes)
            tensor = {"name": output.name, "datatype": "BYTES", "shape": [rows, output.classes], "data": texts}
        elif output.name == _PROBABILITIES:
            flat = answered.probabilities.reshape(-1)
            tensor = {"name": output.name, "datatype": "FP32", "shape": [rows, CLASSES], "data": flat}
        else:
            tensor = {"name": output.name, "datatype": "INT64", "shape": [rows], "data": answered.digits}
        if output.binary:
            content = _bytes(tensor.pop("data"))
            tensor["parameters"] = {"binary_data_size": len(content)}
            tail.append(content)
        tensors.append(tensor)
    manifest = answered.classifier.manifest
    header = orjson.dumps(
        {"model_name": manifest.name, "model_version": str(manifest.version), "id": request.id, "outputs": tensors},
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    headers = (_BINARY_TYPE, (_HEADER_LENGTH, b"%d" % len(header))) if tail else JSON
    return Reply(b"".join((header, *tail)), manifest.version, answered.batch, headers=headers)


def _classified(probabilities: NDArray[Any], classes: int) -> list[str]:
    """The most probable ones of each row, as Triton writes them: probability, index, label."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :classes]
    return [
        f"{row[digit]:.6g}:{digit}:{digit}" for row, digits in zip(probabilities, best, strict=True) for digit in digits
    ]


def _bytes(data: NDArray[Any] | list[int] | list[str]) -> bytes:
    """A tensor as it is sent in binary."""
    if isinstance(data, np.ndarray):
        return data.tobytes()
    return b"".join(
        struct.pack("<q", value) if isinstance(value, int) else struct.pack("<I", len(value)) + value.encode()
        for value in data
    )
