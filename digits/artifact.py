"""The artifact contract: manifest, checksums, atomic publish, the versions of a folder.

    <root>/<name>/<version>/    version a positive integer
        model.onnx, model.keras, golden.json, report/...    each with its sha256 in
        manifest.json

A version appears by one rename of a finished, synced folder and is never changed afterwards.
"""

import errno
import hashlib
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator

from digits.errors import DamagedArtifact, PublishFailed
from digits.features import CLASSES, FEATURES

NAME = "mnist-dense"

SHIPPED = Path(__file__).resolve().parent.parent / "models"
"""The root that comes with the code: the fallback where no other holds a usable version."""

MODEL, KERAS, GOLDEN, MANIFEST = "model.onnx", "model.keras", "golden.json", "manifest.json"

MAX_FILE_BYTES = 64 * 1024 * 1024
"""No file of an artifact comes near it; a larger one is refused unread."""

MAX_JSON_BYTES = 1024 * 1024
"""The same for manifest.json and golden.json, 3 and 30 KB: parsing holds up all other threads."""

MAX_BYTES = 4 * MAX_FILE_BYTES
"""Of all files of a version together."""

MAX_FILES = 1000
"""Most files of a version; one has about ten."""

STALE_SECONDS = 24 * 3600
"""Unfinished folders older than this were left by a publisher that was killed."""

_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_STAGING = ".publishing-"


class _Record(BaseModel):
    # Later formats add fields; a reader of this one passes over them.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class Tensor(_Record):
    """One input or output of the graph; -1 in the shape is the batch."""

    name: str
    dtype: Literal["float32"]
    shape: tuple[int, ...]


FEATURES_INPUT = Tensor(name="features", dtype="float32", shape=(-1, FEATURES))
PROBABILITIES_OUTPUT = Tensor(name="probabilities", dtype="float32", shape=(-1, CLASSES))

NOVELTY_OUTPUT = Tensor(name="novelty", dtype="float32", shape=(-1,))
"""How unlike a digit a picture is: 0 is a usual digit, above 1 it is taken for none. A graph may have it."""

SALIENCY_OUTPUT = Tensor(name="saliency", dtype="float32", shape=(-1, FEATURES))
"""How much each feature speaks for (positive) or against the most probable digit. A graph may have it.

It takes as long as the forward pass itself. So it is made only where the optional input `explain` is true; else it is
empty, (0, 784).
"""

EXPLAIN = "explain"
"""The name of that input, a boolean scalar, false unless it is given."""


class Dataset(_Record):
    """What the network was trained on."""

    name: str
    sha256: str
    """Of the raw bytes (C order) of x_train, y_train, x_test, y_test, one after the other."""
    train_images: int
    validation_images: int
    calibration_images: int = 0
    test_images: int


class Temperature(_Record):
    """By what logits are divided to make probabilities frequencies (Guo et al. 2017), fitted on validation images."""

    value: float = Field(gt=0)
    folded: bool
    """Whether the network's last layer does it; else its probabilities are as trained."""


class Level(_Record):
    """Who is in a prediction set at one coverage: each digit whose probability is at least its threshold."""

    coverage: float = Field(gt=0, lt=1)
    """Share of pictures whose true digit is in the set, at least, if they are exchangeable with calibration images."""
    threshold: float = Field(ge=0, le=1)
    """Of all digits."""
    per_class: tuple[float, ...] | None = Field(None, min_length=CLASSES, max_length=CLASSES)
    """Of each digit, so that the coverage holds for the pictures of each; None where too few images carry it."""


class PredictionSets(_Record):
    """Split conformal prediction (Vovk et al. 2005), calibrated on images that were used for nothing else."""

    score: Literal["LAC"] = "LAC"
    """1 minus the true digit's probability: the smallest sets (Sadinle, Lei and Wasserman 2019)."""
    levels: tuple[Level, ...]

    def level(self, coverage: float) -> Level | None:
        """The stored one."""
        return next((level for level in self.levels if level.coverage == coverage), None)


class Novelty(_Record):
    """What the graph's second output is."""

    method: str
    false_alarms: float = Field(gt=0, lt=1)
    """Share of pictures like the calibration images that are above 1, at most."""


class Reference(_Record):
    """How a quantity is distributed over calibration images, to see whether what is asked later is like them."""

    edges: tuple[float, ...]
    """Upper ends of the bins but the last, which has none."""
    shares: tuple[float, ...]
    """One more than edges; their sum is 1."""


class Calibration(_Record):
    """What held-out training images tell about how far an answer can be trusted."""

    validation_images: int
    calibration_images: int
    temperature: Temperature
    prediction_sets: PredictionSets
    novelty: Novelty | None = None
    reference: dict[str, Reference]
    """Of digit, probability, ink, novelty."""


class Manifest(_Record):
    """All that is known of one published version."""

    format: Literal[1] = 1
    name: str
    version: PositiveInt
    created: datetime
    inputs: tuple[Tensor, ...] = (FEATURES_INPUT,)
    outputs: tuple[Tensor, ...] = (PROBABILITIES_OUTPUT,)
    classes: tuple[str, ...] = tuple(str(digit) for digit in range(CLASSES))
    recipe: dict[str, Any] | None
    """Every hyper-parameter; None when the network was trained elsewhere."""
    seed: int | None
    dataset: Dataset | None
    libraries: dict[str, str]
    metrics: dict[str, dict[str, float]]
    """By split (train, validation, calibration, test): loss, accuracy and whatever else was measured."""
    calibration: Calibration | None = None
    """None where no images were held back for it, and in artifacts from before there was any."""
    files: dict[str, str] = Field(min_length=1, max_length=MAX_FILES)
    """Path below the version's folder to the sha256 of its bytes."""

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, str]) -> dict[str, str]:
        for path in files:
            parts = PurePosixPath(path).parts
            if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
                raise ValueError(f"{path!r} is no path below the version's folder")
        return files

    def public(self) -> dict[str, Any]:
        """The manifest as `GET /model` shows it: JSON types, without the list of files."""
        return self.model_dump(mode="json", exclude={"files"})


def versions(root: Path, name: str = NAME) -> list[int]:
    """The published version numbers below `root`, highest first; [] where there is no such folder.

    Raises:
        DamagedArtifact: the folder is there and cannot be listed.
    """
    try:
        entries = os.listdir(root / name)  # noqa: PTH208 - a hundred thousand Paths would take ten times as long
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise DamagedArtifact(f"{root / name} cannot be listed: {exc.strerror}") from exc
    return sorted((int(entry) for entry in entries if _VERSION.fullmatch(entry)), reverse=True)


def read_manifest(folder: Path) -> Manifest:
    """Read and check a version's manifest, but none of the files that it lists.

    Raises:
        DamagedArtifact: missing, not readable, not as the schema says, or of another version than its folder.
    """
    content = _read(folder, MANIFEST, MAX_JSON_BYTES)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise DamagedArtifact(f"{folder / MANIFEST}: {where}: {first['msg']}") from exc
    if str(manifest.version) != folder.name:
        raise DamagedArtifact(f"{folder / MANIFEST}: expected version {folder.name}, received {manifest.version}")
    return manifest


def read_version(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read a version whole, holding every file to its checksum.

    Returns:
        The manifest and the bytes of the two files that serving needs, model.onnx and golden.json: the very bytes
        whose hash was checked, so that what is loaded is what was verified.

    Raises:
        DamagedArtifact: with the file's path, and both hashes where they differ.
    """
    manifest = read_manifest(folder)
    kept = {}
    size = 0
    for path, sha256 in manifest.files.items():
        content = read_file(folder, path, sha256)
        size += len(content)
        if size > MAX_BYTES:
            raise DamagedArtifact(
                f"{folder / MANIFEST}: expected files of at most {MAX_BYTES} bytes in all, received more"
            )
        if path in (MODEL, GOLDEN):
            kept[path] = content
    for path in (MODEL, GOLDEN):
        if path not in kept:
            raise DamagedArtifact(f"{folder / MANIFEST}: expected {path} among its files, received none")
    return manifest, kept


def read_file(folder: Path, path: str, sha256: str) -> bytes:
    """Read one of a version's files, holding it to the checksum that the manifest has for it.

    Raises:
        DamagedArtifact: with the file's path, and both hashes where they differ.
    """
    content = _read(folder, path, MAX_JSON_BYTES if path == GOLDEN else MAX_FILE_BYTES)
    received = hashlib.sha256(content).hexdigest()
    if received != sha256:
        raise DamagedArtifact(f"{folder / path}: expected sha256 {sha256}, received {received}")
    return content


def publish(root: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any], *, name: str = NAME) -> Manifest:
    """Write a new version so that a reader sees all of it or nothing, whatever happens in between.

    Its number is one above the highest below `root` and the shipped root. Publishers at the same time take
    different numbers: the rename onto a number that is taken fails, and the next one is tried.

    Args:
        root: where versions are published; made when missing.
        files: path below the version's folder to content.
        manifest: the fields of `Manifest` but name, version, created and files.
        name: the model's.

    Returns:
        The manifest as published; the folder is `root / name / str(version)`.

    Raises:
        ValueError: the manifest is not as `Manifest` says, or a path is none below the version's folder.
        PublishFailed: the file system refused (full, read-only, no permission); nothing new is visible, unless the
            message says so: a version that was published and may not outlast a power cut.
    """
    parent = root / name
    staging = parent / f"{_STAGING}{uuid.uuid4().hex}"
    checksums = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    record = {**manifest, "name": name, "created": datetime.now(UTC), "files": checksums}
    # Before anything is written: a path that leads out of the version's folder must not be followed.
    Manifest.model_validate({**record, "version": 1})
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _sweep(parent)
        for path, content in files.items():
            _write(staging / path, content)
        version = 1 + max([0, *versions(root, name), *versions(SHIPPED, name)])
        while True:
            made = Manifest.model_validate({**record, "version": version})
            _write(staging / MANIFEST, made.model_dump_json(indent=2).encode() + b"\n")
            _sync_folders(staging)
            if _take(parent / str(version), staging):
                break
            version += 1
    except OSError as exc:
        raise PublishFailed(f"nothing was published below {parent}: {exc.strerror or exc}") from exc
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # gone already when all went well
    try:
        _sync(parent)
    except OSError as exc:
        raise PublishFailed(
            f"{parent / str(version)} was published, but may not outlast a power cut: {exc.strerror or exc}"
        ) from exc
    return made


def write_once(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Write a folder so that a reader sees all of it or nothing, as `publish` does.

    Args:
        folder: where nothing is yet.
        files: path below it to content.

    Returns:
        False where something was there, which stays as it is.

    Raises:
        OSError: the file system refused; unless that was when all was done, nothing new is visible.
    """
    staging = folder.parent / f"{_STAGING}{uuid.uuid4().hex}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        for path, content in files.items():
            _write(staging / path, content)
        _sync_folders(staging)
        if not _take(folder, staging):
            return False
    finally:
        shutil.rmtree(staging, ignore_errors=True)  # gone already when all went well
    _sync(folder.parent)
    return True


def _take(folder: Path, staging: Path) -> bool:
    """Give what was staged its name; False where that is taken."""
    try:
        staging.rename(folder)
    except OSError as exc:
        if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        return False
    return True


def _read(folder: Path, path: str, limit: int) -> bytes:
    file = folder / path
    try:
        # The folder may be a symbolic link, or hold some, as Kubernetes mounts volumes. What they lead to lies in it.
        real = Path(os.path.realpath(file, strict=True))
        if not real.is_relative_to(os.path.realpath(folder)):
            raise DamagedArtifact(f"{file}: expected a file of the version, received a link out of its folder")
        with open(real, "rb", opener=_open) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DamagedArtifact(f"{file}: cannot be read: Not a regular file")
            # Its size is asked first: 10 GB of nothing are refused unread. It may also have grown since.
            content = stream.read(limit + 1) if status.st_size <= limit else None
    except FileNotFoundError as exc:
        raise DamagedArtifact(f"{file}: missing") from exc
    except OSError as exc:
        raise DamagedArtifact(f"{file}: cannot be read: {exc.strerror}") from exc
    if content is None or len(content) > limit:
        raise DamagedArtifact(f"{file}: expected at most {limit} bytes, received more")
    return content


def _open(path: str, flags: int) -> int:
    """Without waiting for a writer, as opening a FIFO would."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folders(top: Path) -> None:
    for folder in [path for path in top.rglob("*") if path.is_dir()] + [top]:
        _sync(folder)


def _sync(folder: Path) -> None:
    """Make the folder's entries, not only the files' contents, survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(parent: Path) -> None:
    """Remove what killed publishers left; a folder that is young may belong to one at work."""
    old: Iterable[Path] = parent.glob(f"{_STAGING}*")
    for folder in old:
        try:
            stale = time.time() - folder.stat().st_mtime > STALE_SECONDS
        except FileNotFoundError:  # another publisher finished, or swept it
            continue
        if stale:
            shutil.rmtree(folder, ignore_errors=True)
