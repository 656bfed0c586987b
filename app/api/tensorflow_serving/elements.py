"""Read one element of a TensorFlow Serving request as a picture: 784 floats, or an encoded picture in base64.

Elements of MLflow's data frames are rows, as https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ says.
"""

from base64 import b64decode
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any, TypeVar

from app.errors import InvalidBody
from app.input.pixels import numbers, type_name, unit_floats
from digits.errors import DigitsError, InvalidPixels
from digits.features import FEATURES, SIDE, Floats

INPUT = "features"

T = TypeVar("T")


def read_all(read: Callable[[Any], T], elements: Sequence[Any], key: str) -> list[T]:
    """Apply `read` to each element of the list `key`. Raises InvalidPixels, which names the element at fault."""
    results = []
    for index, element in enumerate(elements):
        try:
            results.append(read(element))
        except DigitsError as exc:
            raise InvalidPixels(f"Failed to process element: {index} of '{key}' list. Error: {exc}") from exc
    return results


def is_encoded(value: Any) -> bool:
    """Return whether a JSON value is a binary value, {"b64": ...}."""
    return isinstance(value, dict) and value.keys() == {"b64"}


def without_name(element: Any, key: str, index: int) -> Any:
    """Return the value of an element, which may be an object with the input's name as its key. Raises InvalidBody."""
    if not isinstance(element, dict) or is_encoded(element):
        return element
    if element.keys() != {INPUT}:
        names = ", ".join(sorted(element))
        raise InvalidBody(
            f"Failed to process element: {index} of '{key}' list. "
            f"JSON object keys must be equal to: {INPUT}; received {names[:80] or 'no key'}"
        )
    return element[INPUT]


def encoded_picture(element: Any) -> bytes:
    """Return the bytes of a picture in base64. Raises InvalidPixels."""
    try:
        return b64decode(element["b64"], validate=True)
    except (TypeError, ValueError, KeyError) as exc:
        raise InvalidPixels(
            'expected a picture in base64, {"b64": "..."}, like element 0, received another value'
        ) from exc


def features(element: Any) -> Floats:
    """Return one picture as float32 (28, 28) in [0, 1], from 784 numbers or 28 rows of 28. Raises InvalidPixels."""
    if not isinstance(element, list):
        raise InvalidPixels(
            f'expected {FEATURES} floats, {SIDE} rows of {SIDE} or {{"b64": "..."}}, received {type_name(element)}'
        )
    flat = element
    if element and isinstance(element[0], list):
        lengths = [len(row) if isinstance(row, list) else 1 for row in element]
        if len(element) != SIDE:
            raise InvalidPixels(f"Expecting tensor size: {FEATURES} but got: {sum(lengths)}; expected {SIDE} rows")
        if lengths != [SIDE] * SIDE:
            wrong = next(length for length in lengths if length != SIDE)
            raise InvalidPixels(f"Encountered list at unexpected size: {wrong} at level: 1 expected size: {SIDE}")
        flat = list(chain.from_iterable(element))
    if len(flat) != FEATURES:
        raise InvalidPixels(f"Expecting tensor size: {FEATURES} but got: {len(flat)}")
    return unit_floats(numbers(flat)).reshape(SIDE, SIDE)


def picture_of_record(record: Any, columns: list[str]) -> Any:
    """Return the picture of one of `dataframe_records`: 784 columns with one pixel each, or one column with a picture.

    Raises InvalidPixels if these are not `columns` in their order, those of the first record.
    """
    if not isinstance(record, dict):
        raise InvalidPixels(f"expected an object with the value of each column, received {type_name(record)}")
    if list(record) != columns:
        pairs = enumerate(zip_longest(record, columns))
        index = next(index for index, (received, expected) in pairs if received != expected)
        raise InvalidPixels(f"expected the columns of element 0 in their order, received others from column {index} on")
    if len(columns) == FEATURES:
        return list(record.values())
    if columns != [INPUT]:
        raise InvalidPixels(f"expected {FEATURES} columns or one, {INPUT!r}, received {len(columns)} columns")
    return record[INPUT]
