"""What each process of a run does: read, normalize and classify some pictures, and return their rows."""

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np

from deploy.batch.shards import path_as_text
from digits.answers import answers
from digits.classifier import Classifier
from digits.errors import DigitsError, InvalidImage
from digits.features import Floats, to_features
from digits.images import open_picture, read
from digits.mnist_form import Mode
from digits.normalize import Normalized
from digits.preprocessing import prepare_picture

COLUMNS = ("path", "digit", "probability", "prediction_set", "calibration", "is_digit", "novelty", "left_out", "error")
CLASS_NAME = "class_name"


def columns_of(classifier: Classifier) -> tuple[str, ...]:
    """Return the names of a row's columns. If the classes are not the digits, the name of the class follows `digit`."""
    return COLUMNS if classifier.class_names is None else (*COLUMNS[:2], CLASS_NAME, *COLUMNS[2:])


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture without an answer."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scored:
    """The rows of some pictures."""

    lines: bytes
    """One JSON object per picture, with the keys of `columns_of`, each on its own line."""
    pictures: int
    failures: list[Failure]


class Stopped(Exception):
    """The run was interrupted."""


class _Worker:
    def __init__(self, classifier: Classifier, mode: Mode, stop: Event) -> None:
        self._classifier, self._stop = classifier, stop
        self._columns, self._preparation = columns_of(classifier), classifier.preparation(mode)

    def score(self, paths: Sequence[str]) -> Scored:
        rows: list[dict[str, Any]] = []
        scored: list[dict[str, Any]] = []
        features: list[Floats] = []
        steps: list[tuple[str, ...]] = []
        failures = []
        for path in paths:
            if self._stop.is_set():
                raise Stopped
            name = path_as_text(path)
            row: dict[str, Any] = dict.fromkeys(self._columns) | {"path": name}
            rows.append(row)
            try:
                normalized = self._normalize(path)
                features.append(to_features(normalized.pixels[None]))
                steps.append(normalized.steps)
                row["left_out"] = normalized.left_out or None
            except DigitsError as exc:
                row["error"] = str(exc)
                failures.append(Failure(name, str(exc)))
            else:
                scored.append(row)
        if scored:
            columns = answers(self._classifier, np.concatenate(features), steps)
            for number, row in enumerate(scored):
                row.update({name: columns[name][number] for name in self._columns if name in columns})
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return Scored(lines.encode(), len(rows), failures)

    def _normalize(self, path: str) -> Normalized:
        file = Path(path)
        if file.exists() and not file.is_file():  # reading a pipe would wait for its writer
            raise InvalidImage("cannot be read: Not a regular file")
        return prepare_picture(open_picture(read(file)), self._preparation)


_worker: _Worker | None = None
"""This process' worker. A pool passes a function to its processes, but no object that stays there."""


def begin(model: Path, mode: Mode, stop: Event) -> None:
    """Load the model version of a folder in this process. `stop` ends `score` at the next picture."""
    global _worker  # noqa: PLW0603 - see above
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = _Worker(Classifier.load(model), mode, stop)


def score(paths: Sequence[str]) -> Scored:
    """Return the rows of pictures, in their order. Raises Stopped."""
    assert _worker is not None
    return _worker.score(paths)


def _end_with_parent() -> None:
    """End this process when the parent is killed, because a pool's process would wait for more work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
