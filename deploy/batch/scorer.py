"""Score a shard: decode, normalize and classify its pictures as `POST /predict` does."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deploy.batch.results import Rejection, Results
from deploy.batch.shards import Picture
from deploy.batch.sources import Shard, shard_from_json
from digits.errors import DigitsError
from digits.model.classifier import Classifier
from digits.model.predictions import fields, predict
from digits.normalization.mnist_form import Mode
from digits.normalization.normalize import Normalized
from digits.normalization.prepare import prepare_picture, prepare_pixels
from digits.pictures.decode import open_picture

_PASS_PICTURES = 256
"""Maximum number of pictures per forward pass."""

_COLUMN_TYPES = {
    "id": pa.string(),
    "source": pa.string(),
    "digit": pa.int64(),
    "class_name": pa.string(),
    "probability": pa.float32(),
    "probabilities": pa.list_(pa.float32()),
    "prediction_set": pa.list_(pa.int64()),
    "coverage": pa.float64(),
    "calibration": pa.string(),
    "is_digit": pa.bool_(),
    "novelty": pa.float32(),
    "preprocessing": pa.list_(pa.string()),
    "version": pa.int64(),
}
"""Types of the columns, in the order in which they are written. A model of digits has no `class_name`."""


class Scorer:
    """A Ray Data actor that scores shards with a loaded model version."""

    def __init__(self, model: Path, mode: Mode, output: Path) -> None:
        """Load a model version.

        Args:
            model: folder of the version.
            mode: which pictures are normalized.
            output: folder of the run's results.

        Raises:
            ArtifactError: the version cannot be used here.
        """
        self._classifier = Classifier.load(model)
        self._preparation = self._classifier.preparation(mode)
        known = {"id", "source", "version", *fields(self._classifier)}
        self._columns = [name for name in _COLUMN_TYPES if name in known]
        """The columns that this version fills."""
        self._results = Results(output)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Score shards and publish their parts.

        Args:
            batch: columns `number` and `shard`, which is the shard as JSON.

        Returns:
            Columns: the number of `pictures` per shard, and the `failure` that prevented its part, or "".
        """
        shards = [shard_from_json(shard) for shard in batch["shard"]]
        failures = [self._publish(int(number), shard) for number, shard in zip(batch["number"], shards, strict=True)]
        return {"pictures": np.array([len(shard) for shard in shards]), "failure": np.array(failures)}

    def _publish(self, number: int, shard: Shard) -> str:
        """Score a shard and publish its part. Return the reason of a failure, or ""."""
        if not Path(shard.location).exists():
            return f"{shard.location} does not exist on a node of the cluster"
        table, rejections = self.score(shard)
        try:
            self._results.write_part(number, table, rejections)
        except OSError as exc:
            return str(exc)
        return ""

    def score(self, shard: Shard) -> tuple[pa.Table, list[Rejection]]:
        """Return the rows and the rejections of a shard, in the order of its pictures."""
        rejections: list[Rejection] = []
        batches = [self._rows([], [], shard.source)]  # The table needs a schema even if all pictures are rejected.
        ids: list[str] = []
        digits: list[Normalized] = []
        for picture_id, picture in shard.pictures():
            try:
                digits.append(self._normalize(picture))
            except DigitsError as exc:
                rejections.append({"source": shard.source, "id": picture_id, "reason": str(exc)})
                continue
            ids.append(picture_id)
            if len(ids) == _PASS_PICTURES:
                batches.append(self._rows(ids, digits, shard.source))
                ids, digits = [], []
        batches.append(self._rows(ids, digits, shard.source))
        return pa.Table.from_batches(batches), rejections

    def _normalize(self, picture: Picture) -> Normalized:
        if isinstance(picture, DigitsError):
            raise picture
        if isinstance(picture, bytes):
            return prepare_picture(open_picture(picture), self._preparation)
        return prepare_pixels(picture, self._preparation)

    def _rows(self, ids: list[str], digits: list[Normalized], source: str) -> pa.RecordBatch:
        """Classify pictures in one forward pass and return their rows."""
        records = predict(self._classifier, digits) if digits else []
        columns: dict[str, list[Any]] = {name: [record.get(name) for record in records] for name in self._columns}
        columns |= {"id": ids, "source": [source] * len(ids), "version": [self._classifier.manifest.version] * len(ids)}
        return pa.record_batch(
            [pa.array(columns[name], _COLUMN_TYPES[name]) for name in self._columns], names=self._columns
        )
