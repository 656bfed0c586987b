"""What each process of a run does: open some pictures, do the task of the run, and return their rows."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from PIL import Image

from cli.batch.tasks import Row, Task
from deploy.batch.shards import path_as_text
from digits.errors import DigitsError, InvalidImage
from digits.model.classifier import Classifier
from digits.model.predictions import to_json
from digits.pictures.decode import open_picture, read


@dataclass(frozen=True, slots=True)
class Failure:
    """A picture without an answer."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Scored:
    """The rows of some pictures."""

    lines: bytes
    """One JSON object per picture, with the columns of the task as keys, each on its own line."""
    pictures: int
    failures: list[Failure]


class Stopped(Exception):
    """The run was interrupted."""


class _Worker:
    def __init__(self, classifier: Classifier, task: Task, stop: Event) -> None:
        self._classifier, self._task, self._stop = classifier, task, stop
        self._columns = task.columns(classifier)

    def score(self, paths: Sequence[str]) -> Scored:
        rows: list[Row] = []
        answered: list[Row] = []
        prepared: list[Any] = []
        failures = []
        for path in paths:
            if self._stop.is_set():
                raise Stopped
            name = path_as_text(path)
            row: Row = dict.fromkeys(self._columns) | {"path": name}
            rows.append(row)
            try:
                prepared.append(self._task.prepare(self._classifier, _open(path)))
            except DigitsError as exc:
                row["error"] = str(exc)
                failures.append(Failure(name, str(exc)))
            else:
                answered.append(row)
        if answered:
            for row, answer in zip(answered, self._task.rows(self._classifier, prepared), strict=True):
                row.update(answer)
        lines = b"".join(to_json(row) + b"\n" for row in rows)
        return Scored(lines, len(rows), failures)


def _open(path: str) -> Image.Image:
    """Open a picture. Raises DigitsError."""
    file = Path(path)
    if file.exists() and not file.is_file():  # reading a pipe would wait for its writer
        raise InvalidImage("cannot be read: Not a regular file")
    return open_picture(read(file))


_worker: _Worker | None = None
"""This process' worker. A pool passes a function to its processes, but no object that stays there."""


def begin(model: Path, task: Task, stop: Event) -> None:
    """Load the model version of a folder in this process. `stop` ends `score` at the next picture."""
    global _worker  # noqa: PLW0603 - see above
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _worker = _Worker(Classifier.load(model), task, stop)


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
