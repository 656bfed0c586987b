"""Score a chunk of pictures in one process: read and prepare each, and answer all in one pass."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cli.batch.tasks import Row, Task
from cli.sources.listing import NamedPicture
from cli.sources.tables import Content
from digits.errors import DamagedArtifact, DigitsError
from digits.model.artifact import MODEL
from digits.model.classifier import Classifier
from digits.model.predictions import to_json
from digits.picture import read_file


@dataclass(frozen=True, slots=True)
class Scored:
    lines: bytes
    """One JSON object per picture, with the columns of the task as keys, each on its own line."""
    pictures: int
    failures: list[str]
    """A line for each picture without an answer."""


class Stopped(Exception):
    """The run was interrupted."""


class MissingFolder(Exception):
    """The folder of a picture does not exist, although it was listed."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The version that the command has loaded, and that every process of the run must load."""

    folder: Path
    sha256: str
    """Of model.onnx."""


class Worker:
    """A loaded model version with a task."""

    def __init__(self, model: LoadedModel, task: Task, folder: Path) -> None:
        """Load the model. Relative paths begin in `folder`.

        Raises:
            ArtifactError: the version cannot be used here, or is another one here.
        """
        self._classifier = Classifier.load(model.folder)
        received = self._classifier.manifest.files[MODEL]
        if received != model.sha256:
            raise DamagedArtifact(f"{model.folder / MODEL}: expected sha256 {model.sha256}, received {received}")
        self._task, self._folder = task, folder
        self._columns = task.columns(self._classifier)

    def score(self, pictures: Sequence[NamedPicture], is_stopped: Callable[[], bool] = lambda: False) -> Scored:
        """Return the rows of pictures, in their order. Raises Stopped and MissingFolder."""
        rows: list[Row] = []
        answered: list[tuple[Row, NamedPicture]] = []
        prepared: list[Any] = []
        for picture in pictures:
            if is_stopped():
                raise Stopped
            row: Row = dict.fromkeys(self._columns) | {"path": picture.name}
            rows.append(row)
            try:
                prepared.append(self._task.prepare(self._classifier, read_content(picture.content, self._folder)))
                answered.append((row, picture))
            except DigitsError as exc:
                self._check_folder(picture)
                row["error"] = str(exc)
        if answered:
            answers = self._task.answers(
                self._classifier, prepared, lambda index: read_content(answered[index][1].content, self._folder)
            )
            for (row, _), answer in zip(answered, answers, strict=True):
                values = self._task.row(self._classifier, answer)
                row.update((name, value) for name, value in values.items() if name in row)
        failures = [f"{row['path']}: {row['error']}" for row in rows if row["error"] is not None]
        return Scored(b"".join(to_json(row) + b"\n" for row in rows), len(rows), failures)

    def _check_folder(self, picture: NamedPicture) -> None:
        """Raise MissingFolder if all pictures of the same folder would fail."""
        if isinstance(picture.content, str) and not (folder := Path(self._folder, picture.content).parent).is_dir():
            raise MissingFolder(f"{folder} does not exist")


@lru_cache(maxsize=1)
def worker_of(model: LoadedModel, task: Task, folder: Path) -> Worker:
    """Return the worker of this process, which loads its model once for all chunks of a run."""
    return Worker(model, task, folder)


def read_content(content: str | Content, folder: Path) -> Content:
    """Return the content, read from its file below `folder` if it is a path. Raises InvalidImage and ImageTooLarge."""
    if not isinstance(content, str):
        return content
    return read_file(folder / content)
