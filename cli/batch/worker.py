"""Answer a chunk of pictures in one process: read and prepare each, and answer all in one pass."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cli.batch.tasks import Task
from cli.sources.listing import NamedPicture
from digits.errors import DamagedArtifact, DigitsError
from digits.model.artifact import MODEL
from digits.model.classifier import Classifier
from digits.model.predictions import to_json
from digits.picture import Picture, read_file

Chunk = list[NamedPicture]


@dataclass(frozen=True, slots=True)
class Scored:
    lines: bytes
    """One JSON object per picture, with the columns of the task as keys, each on its own line."""
    pictures: int
    failures: list[str]
    """A line for each picture without an answer."""


class RunFailed(Exception):
    """The run cannot start or continue. The message is one line."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The version that the command has loaded, and that every process of the run must load."""

    folder: Path
    sha256: str
    """Of model.onnx."""


def score(
    model: LoadedModel, task: Task, folder: Path, pictures: Chunk, is_stopped: Callable[[], bool] = lambda: False
) -> Scored:
    """Return the rows of pictures, in their order. Relative paths begin in `folder`.

    Raises ArtifactError if the version cannot be used here, or is another one here, RunFailed if the folder of a
    picture that was listed does not exist, and KeyboardInterrupt if `is_stopped` says so before one of the pictures.
    """
    classifier = _loaded(model)
    columns = task.columns(classifier)
    lines, failures = [], []
    for picture, record in zip(pictures, records(classifier, task, pictures, folder, is_stopped), strict=True):
        error = record.get("error")
        row = {"path": picture.name, "error": error}
        if error is None:
            row |= task.row(classifier, record)
        else:
            failures.append(f"{picture.name}: {error}")
            if isinstance(picture.content, str) and not (parent := Path(folder, picture.content).parent).is_dir():
                raise RunFailed(f"{parent} does not exist")
        row |= task.grade(picture.name, row)
        lines.append(to_json({name: row.get(name) for name in columns}) + b"\n")
    return Scored(b"".join(lines), len(lines), failures)


@lru_cache(maxsize=1)
def _loaded(model: LoadedModel) -> Classifier:
    """Load the model, once for all chunks of a run."""
    classifier = Classifier.load(model.folder)
    received = classifier.manifest.files[MODEL]
    if received != model.sha256:
        raise DamagedArtifact(f"{model.folder / MODEL}: expected sha256 {model.sha256}, received {received}")
    return classifier


def records(
    classifier: Classifier, task: Task, pictures: Chunk, folder: Path, is_stopped: Callable[[], bool] = lambda: False
) -> list[Any]:
    """Return the record of each picture, in their order, or `{"error": ...}` for one without an answer."""
    found: dict[int, Any] = {}
    prepared: dict[int, Any] = {}
    for index, picture in enumerate(pictures):
        if is_stopped():
            raise KeyboardInterrupt
        try:
            prepared[index] = task.prepare(classifier, _opened(picture, folder))
        except DigitsError as exc:
            found[index] = {"error": str(exc)}
    if prepared:
        answered = [pictures[index] for index in prepared]
        answers = task.answers(classifier, [*prepared.values()], lambda number: _opened(answered[number], folder))
        found |= zip(prepared, answers, strict=True)
    return [found[index] for index in range(len(pictures))]


def _opened(picture: NamedPicture, folder: Path) -> Picture:
    """Open a picture of a table, or read its file below `folder`. Raises DigitsError."""
    content = picture.content
    if isinstance(content, DigitsError):
        raise content
    if isinstance(content, str | bytes):
        return Picture(read_file(folder / content) if isinstance(content, str) else content)
    return Picture.of_pixels(content)
