"""Parse the JSON body of a TensorFlow Serving request.

Error messages begin with TensorFlow Serving's own words, because clients may look for them. The words come from
json_tensor.cc of https://github.com/tensorflow/serving.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from app.api.tensorflow_serving import elements
from app.api.tensorflow_serving.elements import INPUT, is_encoded
from app.errors import BatchTooLarge, InvalidBody, MalformedBody
from app.inference.picture_batch import PictureBatch
from app.input.json import parse_json
from app.input.pixels import type_name
from app.settings import Settings

SIGNATURE = "serving_default"

_SPLIT, _RECORDS = "dataframe_split", "dataframe_records"  # the keys of MLflow's data frames

_REPLY_KEYS = {"examples": "results", "inputs": "outputs"}

Verb = Literal["predict", "classify", "regress", "invocations"]
"""The verb at the end of a path, or "invocations" for `/invocations`, which has none."""


@dataclass(slots=True)
class PredictRequest(PictureBatch):
    reply_key: str = "predictions"


def read_request(body: bytes, *, verb: Verb, settings: Settings, version: int | None = None) -> PredictRequest:
    """Parse an inference request. The verb "invocations" also accepts MLflow's data frames.

    Raises BodyTooLarge, MalformedBody, InvalidBody, BatchTooLarge and InvalidPixels.
    """
    try:
        document = parse_json(body, settings)
    except MalformedBody as exc:
        raise MalformedBody(f"JSON Parse error: {exc}") from exc
    if not isinstance(document, dict):
        raise InvalidBody(f"JSON Value: Is not object; expected an object, received {type_name(document)}")
    signature = document.get("signature_name")
    if signature not in (None, "", SIGNATURE):
        name = signature[:40] if isinstance(signature, str) else type_name(signature)
        raise InvalidBody(
            f'Serving signature name: "{name}" not found in signature def; expected {SIGNATURE!r} or no name'
        )
    key, sent = _select_elements(document, verb)
    reply_key = "predictions" if verb == "invocations" else _REPLY_KEYS.get(key, "predictions")
    if not isinstance(sent, list):
        raise InvalidBody(f"Expecting '{key}' to be an list/array; received {type_name(sent)}")
    if not sent:
        raise InvalidBody(f"No values in '{key}' array; expected at least one picture, received an empty list")
    if len(sent) > settings.max_batch:
        raise BatchTooLarge(f"expected at most {settings.max_batch} pictures, received {len(sent)}")
    if key == _RECORDS:
        columns = list(sent[0]) if isinstance(sent[0], dict) else []
        sent = elements.read_all(partial(elements.picture_of_record, columns=columns), sent, key)
    sent = [elements.without_name(element, key, index) for index, element in enumerate(sent)]
    if is_encoded(sent[0]):
        encoded = elements.read_all(elements.encoded_picture, sent, key)
        return PredictRequest(encoded=encoded, version=version, reply_key=reply_key)
    pixels = np.stack(elements.read_all(elements.features, sent, key))
    return PredictRequest(pixels=pixels, mode="never", version=version, reply_key=reply_key)


def _select_elements(document: dict[str, Any], verb: Verb) -> tuple[str, Any]:
    """Return the key that holds the pictures, and its value."""
    if verb == "regress":  # refused in TensorFlow Serving's words, because the model has no regression signature
        raise InvalidBody(
            "Expected regression signature method_name to be tensorflow/serving/regress. "
            "Was: tensorflow/serving/predict; expected :predict or :classify, received :regress"
        )
    if verb == "classify":
        if "examples" not in document:
            raise InvalidBody("When method is classify, key 'examples' is expected and was not found")
        return "examples", document["examples"]
    if verb == "invocations":
        split = document.get(_SPLIT)
        if isinstance(split, dict):
            return _SPLIT, split.get("data")
        if _RECORDS in document:
            return _RECORDS, document[_RECORDS]
    if "instances" in document:
        if "inputs" in document:
            raise InvalidBody(
                "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist; received both"
            )
        return "instances", document["instances"]
    if "inputs" not in document:
        name = min(document, default="")
        raise InvalidBody(f"Missing 'inputs' or 'instances' key; received {repr(name[:40]) if name else 'no key'}")
    inputs = document["inputs"]
    if isinstance(inputs, dict) and not is_encoded(inputs):
        if INPUT not in inputs:
            raise InvalidBody(f"Missing named input: {INPUT} in 'inputs' object.")
        inputs = inputs[INPUT]
    return "inputs", [inputs] if is_encoded(inputs) else inputs
