"""TensorFlow Serving's REST API, with what KServe's first protocol, SageMaker and MLflow ask for beside it.

Messages begin with TensorFlow Serving's own words, which clients may look for; then comes what was expected and what
came. https://www.tensorflow.org/tfx/serving/api_rest, json_tensor.cc and http_rest_api_handler.cc of
https://github.com/tensorflow/serving
"""

import re
from base64 import b64decode
from functools import partial
from itertools import chain, zip_longest
from typing import Any, NamedTuple

import numpy as np
import orjson
from starlette._utils import get_route_path
from starlette.types import Receive, Scope

from app.asgi.reply import ROUTE, Reply
from app.errors import BatchTooLarge, InvalidBody, MalformedBody, NotFound, UnknownModel, WrongMethod
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import InferenceResult, Predictor
from app.input.body import JSON as JSON_TYPE
from app.input.body import (
    QUOTES,
    TINY_PNG_BASE64,
    TINY_TEXT,
    PictureBatch,
    Reservation,
    is_quick,
    kind,
    loads,
    opened,
    read_digits,
    read_plain,
    unit_floats,
)
from app.settings import Settings
from digits import artifact
from digits.errors import DigitsError, InvalidPixels
from digits.features import CLASSES, FEATURES, SIDE, Floats
from digits.mnist_form import Mode

_MODELS = "/v1/models"
_PREDICT = f"{_MODELS}/{artifact.NAME}:predict"

_VERSION = r"(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_MODEL = rf"{_MODELS}/(?P<model>[^/:]+){_VERSION}"
# In whatever case, as TensorFlow Serving has it.
_POST = re.compile(rf"{_MODEL}:(?P<method>classify|regress|predict)", re.IGNORECASE)
_GET = re.compile(rf"{_MODEL}(?P<metadata>/metadata)?/?", re.IGNORECASE)
_LIST = re.compile(rf"{_MODELS}/?", re.IGNORECASE)

_PNGS = re.compile(rb'"b64"\s*:\s*"%b' % TINY_PNG_BASE64)

_INPUT, _OUTPUT, _SIGNATURE = "features", "probabilities", "serving_default"
_SPLIT, _RECORDS = "dataframe_split", "dataframe_records"
"""MLflow's keys, for a frame of rows that are pictures."""
_LABELS = [str(digit) for digit in range(CLASSES)]


class _Request(NamedTuple):
    """An inference request, read."""

    asked: PictureBatch
    mode: Mode
    key: str
    """Of the reply."""


class TensorFlowServing:
    """Answers `/v1` and all below it, and `/invocations`; called by `app.asgi.application`."""

    def __init__(self, settings: Settings, registry: ModelRegistry, predictor: Predictor) -> None:
        """With the core."""
        self._settings = settings
        self._registry = registry
        self._predictor = predictor

    async def __call__(self, scope: Scope, receive: Receive) -> Reply:
        """One request below `/v1`.

        Raises:
            NotFound, WrongMethod, UnknownModel, and what can be wrong with a body or a picture.
        """
        path, method = get_route_path(scope), scope["method"]
        if path == _PREDICT and method == "POST":  # what is asked thousands of times a second
            scope[ROUTE] = "/v1/models/{model}:predict"
            return await self._infer(scope, receive, "predict", None)
        if match := _POST.fullmatch(path):
            verb = match["method"].lower()
            scope[ROUTE] = f"/v1/models/{{model}}:{verb}"
            _allow(scope, path, "POST")
            number = self._held(match["model"], match["version"], match["label"])
            return await self._infer(scope, receive, verb, number)
        if match := _GET.fullmatch(path):
            scope[ROUTE] = "/v1/models/{model}" + ("/metadata" if match["metadata"] else "")
            _allow(scope, path, "GET", "HEAD")
            answer = self._metadata if match["metadata"] else self._status
            return answer(match["model"], match["version"], match["label"])
        if _LIST.fullmatch(path):
            scope[ROUTE] = _MODELS
            _allow(scope, path, "GET", "HEAD")
            return Reply.of({"models": [artifact.NAME]})
        raise NotFound(f"{_malformed(scope, path)}; there is nothing at this path, expected {_MODELS}/{artifact.NAME}")

    async def invocations(self, scope: Scope, receive: Receive) -> Reply:
        """`POST /invocations`: JSON as `:predict` takes it, or any other body that `/predict` takes.

        Raises:
            What can be wrong with a body or a picture.
        """
        content_type = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
        if media_type in ("", JSON_TYPE):
            return await self._infer(scope, receive, "invocations", None)
        _ = self._registry.classifier
        with Reservation(self._predictor.memory_budget) as reservation:
            asked = await read_digits(
                scope,
                receive,
                self._settings,
                "auto",
                reservation=reservation,
                decode_threads=self._predictor.decode_threads,
            )
            return _reply("predictions", await self._predictor.answer(asked, "auto", receive))

    async def _infer(self, scope: Scope, receive: Receive, verb: str, number: int | None) -> Reply:
        """Read, compute, answer."""
        _ = self._registry.classifier  # without one the body is not even read
        decode_threads = self._predictor.decode_threads
        with Reservation(self._predictor.memory_budget) as reservation:
            body = await read_plain(receive, scope["headers"], self._settings, reservation, decode_threads)
            read = partial(_read, body, verb, self._settings)
            tiny = len(body) <= TINY_TEXT and body.count(b'"b64"') == body.count(b"b64") == len(_PNGS.findall(body))
            quick = is_quick(body, b"b64", tiny=tiny)
            request = read() if quick else await decode_threads.of(len(body)).run(read)
            return _reply(request.key, await self._predictor.answer(request.asked, request.mode, receive, number))

    def _number(self, version: str | None, label: str | None) -> int | None:
        """Of the version that is asked for; None for the served one."""
        if label is not None:
            try:
                return self._registry.labelled(label)
            except UnknownModel as exc:
                raise UnknownModel(f"Unrecognized servable version label: {label[:40]}; {exc}") from exc
        return None if version is None else int(version[:20])

    def _held(self, model: str, version: str | None, label: str | None) -> int | None:
        """Its number, if it is loaded. Raises UnknownModel, NoUsableModel."""
        if model != artifact.NAME:
            wanted = f"Latest({model[:40]})" if version is None else f"Specific({model[:40]}, {version[:20]})"
            raise UnknownModel(f"Servable not found for request: {wanted}; {_expected(model)}")
        number = self._number(version, label)
        try:
            if number is not None:
                self._registry.version(number)
        except UnknownModel as exc:
            raise UnknownModel(f"Servable not found for request: Specific({model}, {number}); {exc}") from exc
        return number

    def _status(self, model: str, version: str | None, label: str | None) -> Reply:
        """What TensorFlow Serving says of a model's versions and what KServe says of the model, in one object.

        TensorFlow Serving's status is 200 in every state, and its clients read the state; KServe's is 503 for a model
        that is not ready, and who probes it reads nothing else. So it is 503: a client of the former finds the states
        in it all the same, while a 200 would have traffic sent to who cannot answer it.
        """
        if model != artifact.NAME:
            raise UnknownModel(f"Could not find any versions of model {model[:40]}; {_expected(model)}")
        number = self._number(version, label)
        known = {
            known.version: _state(known.version, "END", "FAILED_PRECONDITION", known.reason or "")
            for known in self._registry.versions()
            if known.state == "refused"
        }
        available = {loaded: _state(loaded, "AVAILABLE", "OK", "") for loaded in self._registry.loaded()}
        known |= available
        if number is not None:
            if number not in known:
                self._raise_unknown(number)
            known = {number: known[number]}
        reason = self._registry.unready_reason()
        ready = reason is None and not known.keys().isdisjoint(available)
        # The highest first, as TensorFlow Serving has them.
        states = [state for _, state in sorted(known.items(), reverse=True)]
        status = {"name": model, "ready": ready, "model_version_status": states}
        return Reply.of(status) if ready else Reply.of(status | {"error": reason or "it is not loaded"}, 503)

    def _metadata(self, model: str, version: str | None, label: str | None) -> Reply:
        number = self._held(model, version, label) or self._registry.classifier.manifest.version
        signature = {
            "inputs": {_INPUT: _tensor("serving_default_features:0", FEATURES)},
            "outputs": {_OUTPUT: _tensor("StatefulPartitionedCall:0", CLASSES)},
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
        return Reply.of(
            {
                "model_spec": {"name": model, "signature_name": "", "version": str(number)},
                "metadata": {"signature_def": {"signature_def": {_SIGNATURE: signature}}},
            }
        )

    def _raise_unknown(self, number: int) -> None:
        try:
            self._registry.version(number)  # or NoUsableModel
        except UnknownModel as exc:
            raise UnknownModel(f"Could not find version {number} of model {artifact.NAME}; {exc}") from exc


def _malformed(scope: Scope, path: str) -> str:
    return f"Malformed request: {scope['method']} {path[:80]}"


def _allow(scope: Scope, path: str, *methods: str) -> None:
    if scope["method"] not in methods:
        allowed = ", ".join(methods)
        raise WrongMethod(f"{_malformed(scope, path)}; expected {allowed}, received {scope['method']}", allowed)


def _expected(model: str) -> str:
    return f"expected the model {artifact.NAME!r}, received {model[:40]!r}"


def _state(version: int, state: str, code: str, message: str) -> dict[str, Any]:
    return {"version": str(version), "state": state, "status": {"error_code": code, "error_message": message}}


def _tensor(name: str, size: int) -> dict[str, Any]:
    dimensions = [{"size": str(each), "name": ""} for each in (-1, size)]
    return {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": name}


def _read(body: bytes, verb: str, settings: Settings) -> _Request:
    """The body of an inference request, to pictures."""
    quotes = 2 * FEATURES if verb == "invocations" else QUOTES  # a record names each of its columns
    try:
        document = loads(body, settings.max_batch, objects=2 * (settings.max_batch + 2), quotes=quotes)
    except MalformedBody as exc:
        raise MalformedBody(f"JSON Parse error: {exc}") from exc
    if not isinstance(document, dict):
        raise InvalidBody(f"JSON Value: Is not object; expected an object, received {kind(document)}")
    signature = document.get("signature_name")
    if signature not in (None, "", _SIGNATURE):
        name = signature[:40] if isinstance(signature, str) else kind(signature)
        raise InvalidBody(
            f'Serving signature name: "{name}" not found in signature def; expected {_SIGNATURE!r}, or none'
        )
    if verb == "regress":
        raise InvalidBody(
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/predict; expected :predict or :classify, received :regress"
        )
    key, rows, reply = _rows(document, verb)
    if not isinstance(rows, list):
        raise InvalidBody(f"Expecting '{key}' to be an list/array; received {kind(rows)}")
    if not rows:
        raise InvalidBody(f"No values in '{key}' array; expected at least one picture, received an empty list")
    if len(rows) > settings.max_batch:
        raise BatchTooLarge(f"expected at most {settings.max_batch} pictures, received {len(rows)}")
    if key == _RECORDS:
        rows = _of_records(rows)
    rows = [_value(row, key, index) for index, row in enumerate(rows)]
    if _is_encoded(rows[0]):
        pictures = [_of_element(_decoded, row, key, index) for index, row in enumerate(rows)]
        return _Request(opened(pictures, settings, "").many(), "auto", reply)
    pixels = np.stack([_of_element(_features, row, key, index) for index, row in enumerate(rows)])
    return _Request(PictureBatch(single=False, pointer="", pixels=pixels), "never", reply)


def _rows(document: dict[str, Any], verb: str) -> tuple[str, Any, str]:
    """The key that holds pictures, what it holds, and the key of the reply."""
    if verb == "classify":
        if "examples" not in document:
            raise InvalidBody("When method is classify, key 'examples' is expected and was not found")
        return "examples", document["examples"], "results"
    split = document.get(_SPLIT) if verb == "invocations" else None
    if isinstance(split, dict):
        return _SPLIT, split.get("data"), "predictions"
    if verb == "invocations" and _RECORDS in document:
        return _RECORDS, document[_RECORDS], "predictions"
    if "instances" in document:
        if "inputs" in document:
            raise InvalidBody(
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist; received both"
            )
        return "instances", document["instances"], "predictions"
    if "inputs" not in document:
        came = min(document, default="")
        raise InvalidBody(f"Missing 'inputs' or 'instances' key; received {repr(came[:40]) if came else 'no key'}")
    inputs = document["inputs"]
    if isinstance(inputs, dict) and not _is_encoded(inputs):
        if _INPUT not in inputs:
            raise InvalidBody(f"Missing named input: {_INPUT} in 'inputs' object.")
        inputs = inputs[_INPUT]
    columns = [inputs] if _is_encoded(inputs) else inputs
    return "inputs", columns, "predictions" if verb == "invocations" else "outputs"


def _of_records(records: list[Any]) -> list[Any]:
    """A frame's pictures: its records have a column for each value of one, in order, or one column of pictures."""
    columns = list(records[0]) if isinstance(records[0], dict) else []
    read = partial(_of_record, columns=columns)
    return [_of_element(read, record, _RECORDS, index) for index, record in enumerate(records)]


def _of_record(record: Any, columns: list[str]) -> Any:
    if not isinstance(record, dict):
        raise InvalidPixels(f"expected an object, the name of each column with its value, received {kind(record)}")
    if list(record) != columns:
        place = next(place for place, (one, other) in enumerate(zip_longest(record, columns)) if one != other)
        raise InvalidPixels(f"expected the columns of element 0 in their order, received others from column {place} on")
    if len(columns) == FEATURES:
        return list(record.values())
    if columns != [_INPUT]:
        raise InvalidPixels(f"expected {FEATURES} columns or one, {_INPUT!r}, received {len(columns)} columns")
    return record[_INPUT]


def _value(row: Any, key: str, index: int) -> Any:
    """A row, bare or by the input's name."""
    if not isinstance(row, dict) or _is_encoded(row):
        return row
    if row.keys() != {_INPUT}:
        came = ", ".join(sorted(row))
        raise InvalidBody(
            f"Failed to process element: {index} of '{key}' list. "
            f"JSON object keys must be equal to: {_INPUT}; received {came[:80] or 'none'}"
        )
    return row[_INPUT]


def _is_encoded(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"}


def _of_element(read: Any, row: Any, key: str, index: int) -> Any:
    """What `read` makes of it; its error says which one it is."""
    try:
        return read(row)
    except DigitsError as exc:
        raise InvalidPixels(f"Failed to process element: {index} of '{key}' list. Error: {exc}") from exc


def _decoded(row: Any) -> bytes:
    try:
        return b64decode(row["b64"], validate=True)
    except (TypeError, ValueError, KeyError) as exc:
        raise InvalidPixels('expected a picture in base64, {"b64": "..."}, as in element 0, received none') from exc


def _features(row: Any) -> Floats:
    """One picture, (28, 28)."""
    if not isinstance(row, list):
        raise InvalidPixels(
            f'expected {FEATURES} floats, {SIDE} rows of {SIDE} or {{"b64": "..."}}, received {kind(row)}'
        )
    flat = row
    if row and isinstance(row[0], list):
        lengths = [len(line) if isinstance(line, list) else 1 for line in row]
        if len(row) != SIDE:
            raise InvalidPixels(f"Expecting tensor size: {FEATURES} but got: {sum(lengths)}; expected {SIDE} rows")
        if lengths != [SIDE] * SIDE:
            wrong = next(length for length in lengths if length != SIDE)
            raise InvalidPixels(f"Encountered list at unexpected size: {wrong} at level: 1 expected size: {SIDE}")
        flat = list(chain.from_iterable(row))
    if len(flat) != FEATURES:
        raise InvalidPixels(f"Expecting tensor size: {FEATURES} but got: {len(flat)}")
    return unit_floats(flat).reshape(SIDE, SIDE)


def _reply(key: str, answer: InferenceResult) -> Reply:
    answered = answer.answered
    values: Any = answered.probabilities
    if key == "results":
        values = [list(zip(_LABELS, row, strict=True)) for row in values]
    manifest = answered.classifier.manifest
    body = orjson.dumps({key: values}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Reply(body, manifest.version, answered.batch)
