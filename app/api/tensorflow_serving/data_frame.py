"""Read MLflow's data frames. Each row of a frame is one picture.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/
"""

from functools import partial
from itertools import zip_longest
from typing import Any

from app.api.tensorflow_serving.elements import INPUT, read_all
from app.input.pixels import type_name
from digits.errors import InvalidPixels
from digits.features import FEATURES

SPLIT, RECORDS = "dataframe_split", "dataframe_records"


def pictures_of_records(records: list[Any]) -> list[Any]:
    """Return the pictures of `dataframe_records`.

    Every record is an object with the same columns in the same order: 784 columns with one pixel each, or one column
    with a picture. Raises InvalidPixels.
    """
    columns = list(records[0]) if isinstance(records[0], dict) else []
    return read_all(partial(_picture_of_record, columns=columns), records, RECORDS)


def _picture_of_record(record: Any, columns: list[str]) -> Any:
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
