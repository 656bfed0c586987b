"""A shard scored: its pictures decoded, normalized and classified as `POST /predict` does it."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from deploy.batch.results import Results
from deploy.batch.sources import Files, Picture, Shard
from digits.answers import answers
from digits.classifier import Classifier
from digits.errors import DigitsError
from digits.features import FEATURES, to_features
from digits.images import open_picture, to_grey
from digits.mnist_form import Mode
from digits.normalize import Normalized, normalize

_PASS = 256
"""Pictures of a forward pass."""

_TYPES = {
    "id": pa.string(),
    "source": pa.string(),
    "digit": pa.int64(),
    "probability": pa.float32(),
    "probabilities": pa.list_(pa.float32()),
    "prediction_set": pa.list_(pa.int64()),
    "coverage": pa.float64(),
    "is_digit": pa.bool_(),
    "novelty": pa.float32(),
    "preprocessing": pa.list_(pa.string()),
    "version": pa.int64(),
}
"""Of the columns, in their order."""


class Scorer:
    """What Ray Data keeps in each actor."""

    def __init__(self, model: Path, mode: Mode, output: Path) -> None:
        """Load a version.

        Args:
            model: its folder.
            mode: which pictures are normalized.
            output: where the shards' parts go.

        Raises:
            ArtifactError: it is not usable here.
        """
        self._classifier = Classifier.load(model)
        self._mode = mode
        self._results = Results(output)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Score shards and publish their parts; to the driver goes how many pictures each had, and what hindered it."""
        shards = [pickle.loads(shard) for shard in batch["shard"]]  # noqa: S301 - what the driver has pickled
        hindrances = []
        for number, shard in zip(batch["number"], shards, strict=True):
            place = shard.root if isinstance(shard, Files) else shard.file
            if not place.exists():
                hindrances.append(f"{place} is not there on a node of the cluster")
                continue
            table, rejections = self.score(shard)
            try:
                self._results.write(int(number), table, rejections)
            except OSError as exc:
                hindrances.append(str(exc))
            else:
                hindrances.append("")
        return {"pictures": np.array([len(shard) for shard in shards]), "hindrance": np.array(hindrances)}

    def score(self, shard: Shard) -> tuple[pa.Table, list[dict[str, str]]]:
        """A shard's rows, and its rejections with their reasons, both in its order."""
        rejections: list[dict[str, str]] = []
        batches = [self._rows([], [], shard.source)]  # so that there is a schema where all were rejected
        names: list[str] = []
        digits: list[Normalized] = []
        for name, picture in shard.pictures():
            try:
                digits.append(self._normalized(picture))
            except DigitsError as exc:
                rejections.append({"source": shard.source, "id": name, "reason": str(exc)})
                continue
            names.append(name)
            if len(names) == _PASS:
                batches.append(self._rows(names, digits, shard.source))
                names, digits = [], []
        batches.append(self._rows(names, digits, shard.source))
        return pa.Table.from_batches(batches), rejections

    def _normalized(self, picture: Picture) -> Normalized:
        if isinstance(picture, DigitsError):
            raise picture
        return normalize(to_grey(open_picture(picture)) if isinstance(picture, bytes) else picture, self._mode)

    def _rows(self, names: list[str], digits: list[Normalized], source: str) -> pa.RecordBatch:
        """One forward pass."""
        features = np.empty((len(digits), FEATURES), dtype=np.float32)
        for row, digit in zip(features, digits, strict=True):
            row[:] = to_features(digit.pixels[None])[0]
        columns: dict[str, list[Any]] = {
            "id": names,
            "source": [source] * len(names),
            **answers(self._classifier, features),
            "preprocessing": [digit.steps for digit in digits],
            "version": [self._classifier.manifest.version] * len(names),
        }
        kept = [name for name in _TYPES if name in columns]
        return pa.record_batch([pa.array(columns[name], _TYPES[name]) for name in kept], names=kept)
