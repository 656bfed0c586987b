"""Model artifacts on disk: read, check and publish the versions of a model.

    <root>/<name>/<version>/                                version is a positive integer
        model.onnx, model.keras, golden.json, layers.safetensors, corrections.npz, report/...
        manifest.json                                       has the sha256 of each file

A version is written to a temporary folder, synced, and renamed once. It is never changed afterwards.
"""

import errno
import hashlib
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, Field, PositiveInt, ValidationError, computed_field, field_validator, model_validator

from digits.errors import DamagedArtifact, PublishFailed
from digits.features import FEATURES
from digits.model.classes import DIGITS, check_class_names

NAME = "mnist-dense"

SHIPPED = Path(__file__).resolve().parents[2] / "models"
"""The root of the versions that come with the code. They are used if no other root has a version."""

DEFAULT_ROOT = Path("models")
"""The folder of published versions if nobody names another one. It is below the working directory."""

FIRST_OWN_VERSION = 1000
"""The first number of a version that `publish` writes. The lower numbers are those of releases."""

MAX_VERSION = 999_999_999
"""The highest number of a version. It has nine digits, and fits into the 32 bits that a row of results has for it."""

MODEL, KERAS, GOLDEN, MANIFEST = "model.onnx", "model.keras", "golden.json", "manifest.json"

LAYERS = "layers.safetensors"
"""The weights of the lecture's network and of its novelty head, as float16, for a page that shows them. Optional."""

CORRECTIONS = "corrections.npz"
"""The digits that a version has learned from corrections, with their labels, for the next training. It is never served,
because it has what people have written. Optional."""

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Maximum size of a file. A larger file is refused without reading it."""

MAX_JSON_BYTES = 1024 * 1024
"""Maximum size of manifest.json (usually 3 KB) and golden.json (30 KB). Parsing JSON blocks all other threads."""

MAX_BYTES = 4 * MAX_FILE_BYTES
"""Maximum size of all files of a version together."""

MAX_FILES = 1000
"""Maximum number of files of a version. Most have about ten."""

STALE_SECONDS = 24 * 3600
"""Age above which a temporary folder is assumed to belong to a publisher that was killed."""

_NUMBER = re.compile(r"[1-9][0-9]*")
_STAGING = ".publishing-"


class _Record(BaseModel, frozen=True, extra="ignore", ser_json_inf_nan="null"):
    """A part of the manifest. Later formats may add fields, which this reader ignores."""


class Tensor(_Record):
    """One input or output of the graph. -1 in the shape is a size that varies, such as the batch."""

    name: str
    dtype: Literal["float32"]
    shape: tuple[int, ...]


FEATURES_INPUT = Tensor(name="features", dtype="float32", shape=(-1, FEATURES))
PROBABILITIES_OUTPUT = Tensor(name="probabilities", dtype="float32", shape=(-1, len(DIGITS)))
"""The required output of a model of digits."""


def probabilities_output(classes: int) -> Tensor:
    return PROBABILITIES_OUTPUT.model_copy(update={"shape": (-1, classes)})


NOVELTY_OUTPUT = Tensor(name="novelty", dtype="float32", shape=(-1,))
"""An optional output: how unlike a digit a picture is. About 0 for a usual digit, above 1 for anything else."""

MAX_NOVELTY = 1.0
"""The highest novelty of a picture that counts as a digit. Training scales the output to it."""

SALIENCY_OUTPUT = Tensor(name="saliency", dtype="float32", shape=(-1, FEATURES))
"""An optional output: how much each feature supports (positive) or opposes (negative) the most probable digit.

Computing it takes as long as the forward pass, so the graph computes it only if the input `explain` is true. Otherwise
it is empty, with shape (0, 784).
"""

EXPLAIN = "explain"
"""An optional input, a boolean scalar. Its default is false."""


DEFAULT_COVERAGE = 0.99
"""The coverage of prediction sets if a manifest states none."""


class Dataset(_Record):
    """The data that the network was trained on."""

    name: str
    sha256: str
    """sha256 of the bytes (C order) of x_train, y_train, x_test and y_test, in this order."""
    train_images: int
    validation_images: int
    calibration_images: int = 0
    test_images: int
    other: str | None = None
    """The folder after `--other`. Its pictures show none of the classes. None if the option was not given."""


class Temperature(_Record):
    """The softmax temperature (Guo et al. 2017), fitted on validation images so that probabilities are frequencies."""

    value: float = Field(gt=0)
    folded: bool
    """Whether the last layer applies it. If not, the network's probabilities are uncalibrated."""


class Level(_Record):
    """The thresholds for one coverage.

    A digit is in the prediction set if its probability is at least its threshold.
    """

    coverage: float = Field(gt=0, lt=1)
    """Minimum share of pictures whose set has the true digit, if they are exchangeable with the calibration images."""
    threshold: float = Field(ge=0, le=1)
    """The threshold for all digits."""
    per_class: tuple[float, ...] | None = None
    """A threshold per class, so that the coverage holds for each class. None if there were too few images."""


class PredictionSets(_Record):
    """Split conformal prediction (Vovk et al. 2005), calibrated on images that were not used for training."""

    score: Literal["LAC"] = "LAC"
    """LAC is 1 minus the true digit's probability. It gives the smallest sets (Sadinle, Lei and Wasserman 2019)."""
    levels: tuple[Level, ...]


class Novelty(_Record):
    """How the novelty output was computed and calibrated."""

    method: str
    false_alarms: float = Field(gt=0, lt=1)
    """Maximum share of pictures like the calibration images whose novelty is above 1."""
    copies_false_alarms: float | None = Field(None, gt=0, lt=1)
    """Maximum share of pictures like their distorted copies whose novelty is above 1. None in artifacts from earlier
    releases."""


class Reference(_Record):
    """The distribution of a quantity over the calibration images, for comparison with served pictures."""

    edges: tuple[float, ...]
    """Upper edges of the bins. The last bin has no upper edge."""
    shares: tuple[float, ...]
    """Share of each bin, one more than edges. The sum is 1."""


class Calibration(_Record):
    """How far to trust an answer, measured on held-out training images."""

    validation_images: int
    calibration_images: int
    folds: PositiveInt | None = None
    """Number of networks that scored the calibration images in place of the served one, each those that it was not
    trained on. The promised coverage is then approximate (Vovk 2015). None if the served network scored all."""
    coverage: float = Field(DEFAULT_COVERAGE, gt=0, lt=1)
    """The coverage of the prediction sets in a reply, if a request names none."""
    temperature: Temperature
    prediction_sets: PredictionSets
    """For pictures in MNIST form."""
    normalized_sets: PredictionSets | None = None
    """For pictures that were normalized, calibrated on a distorted copy of each calibration image. None in artifacts
    from earlier releases: `prediction_sets` then serve all pictures."""
    novelty: Novelty | None = None
    reference: dict[str, Reference]
    """By quantity: digit, probability, ink and novelty."""


class LearnedCorrections(_Record):
    """What a version has learned from answers that people corrected. Each tuple has a number for each digit."""

    version: PositiveInt
    """The version that it started from."""
    graph: str
    """The first characters of the sha256 of that version's graph, from `Manifest.graph`."""
    seed: int
    pictures: int
    digits: tuple[int, ...]
    """New corrected digits."""
    before: tuple[int, ...]
    """Those of them that the earlier version's network misreads."""
    after: tuple[int, ...]
    """Those of them that a network misreads which has learned from four fifths of the pictures, but not theirs."""
    kept: int = 0
    """Number of digits of earlier corrections that it has learned from again."""


Preprocessing = Literal["normalize", "resize"]


class ModelId(NamedTuple):
    """What identifies a version in headers, the log and metrics."""

    version: int
    graph: str
    """The first characters of the graph's sha256, from `Manifest.graph`."""


class Manifest(_Record):
    """The description of one published version."""

    format: Literal[1] = 1
    name: str
    version: PositiveInt
    created: datetime
    inputs: tuple[Tensor, ...] = (FEATURES_INPUT,)
    outputs: tuple[Tensor, ...] = (PROBABILITIES_OUTPUT,)
    classes: tuple[str, ...] = DIGITS
    """The names of the classes, 2 to 100. The network's probabilities are in this order."""
    preprocessing: Preprocessing = "normalize"
    """How pictures are prepared for the network. "normalize": brought to MNIST form, as strokes are. "resize": only
    fitted into 28x28."""
    recipe: dict[str, Any] | None
    """Every hyper-parameter. None if the network was trained elsewhere."""
    seed: int | None
    dataset: Dataset | None
    libraries: dict[str, str]
    metrics: dict[str, dict[str, float]]
    """By split (train, validation, calibration, test): loss, accuracy and other metrics."""
    calibration: Calibration | None = None
    """None if no images were held out for it, and in artifacts from earlier releases."""
    corrections: LearnedCorrections | None = None
    """None for a version that has learned from no corrections."""
    decoding: dict[str, float] | None = None
    """How to decode the maps of a finder, as `digits.finder.network.Decoding` describes. None for other networks."""
    files: dict[str, str] = Field(min_length=1, max_length=MAX_FILES)
    """Maps each file's path below the version's folder to its sha256."""

    @field_validator("files")
    @classmethod
    def _check_paths(cls, files: dict[str, str]) -> dict[str, str]:
        for path in files:
            parts = PurePosixPath(path).parts
            if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
                raise ValueError(f"{path!r} is not a path below the version's folder")
        return files

    @model_validator(mode="after")
    def _check_classes(self) -> Self:
        check_class_names(self.classes)
        for sets in (self.calibration.prediction_sets, self.calibration.normalized_sets) if self.calibration else ():
            for level in sets.levels if sets else ():
                if level.per_class is not None and len(level.per_class) != len(self.classes):
                    raise ValueError(
                        f"expected thresholds for {len(self.classes)} classes, received {len(level.per_class)}"
                    )
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def graph(self) -> str:
        """The first 12 characters of the sha256 of model.onnx. They name the graph, whatever the version's number."""
        return self.files.get(MODEL, "")[:12]


def versions(root: Path, name: str = NAME) -> list[int]:
    """Return the version numbers below `root`, highest first. Raises DamagedArtifact if it cannot be listed."""
    return [number for number in _numbers(root, name) if number <= MAX_VERSION]


def misnumbered(root: Path, name: str = NAME) -> list[str]:
    """Return for each entry below `root` with a number above MAX_VERSION why it is not used, the highest first.

    Raises DamagedArtifact if it cannot be listed.
    """
    return [_too_high(root / name / str(number)) for number in _numbers(root, name) if number > MAX_VERSION]


def _too_high(folder: Path) -> str:
    return f"{folder}: expected a version number of at most nine digits, received {len(folder.name)} digits"


def _numbers(root: Path, name: str) -> list[int]:
    """Return the numbers that name the entries below `root`, highest first, also those above MAX_VERSION."""
    try:
        entries = os.listdir(root / name)  # noqa: PTH208 - Path.iterdir takes ten times as long
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as exc:
        raise DamagedArtifact(f"{root / name} cannot be listed: {exc.strerror}") from exc
    return sorted((int(entry) for entry in entries if _NUMBER.fullmatch(entry)), reverse=True)


def is_version(folder: Path, name: str = NAME) -> bool:
    """Return whether a path is that of a version's folder, and not of a root. The version may be damaged.

    Its number may be too high.
    """
    return bool(_NUMBER.fullmatch(folder.name)) and (folder.parent.name == name or (folder / MANIFEST).exists())


def read_manifest(folder: Path) -> Manifest:
    """Read and check a version's manifest, without the files that it lists.

    Raises DamagedArtifact if it is missing, unreadable, invalid, or has another version than its folder, and if that
    version is too high.
    """
    if _NUMBER.fullmatch(folder.name) and int(folder.name) > MAX_VERSION:
        raise DamagedArtifact(_too_high(folder))
    content = _read(folder, MANIFEST, MAX_JSON_BYTES)
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DamagedArtifact(f"{folder / MANIFEST}: {where}: {first['msg']}") from exc
    if str(manifest.version) != folder.name:
        raise DamagedArtifact(f"{folder / MANIFEST}: expected version {folder.name}, received {manifest.version}")
    return manifest


def read_version(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Read a version and check every file against its checksum, as `read_file` does.

    Return the manifest, and the content of model.onnx and golden.json. A caller that loads these bytes loads exactly
    what was checked. Raises DamagedArtifact.
    """
    manifest = read_manifest(folder)
    served = {}
    size = 0
    for path, sha256 in manifest.files.items():
        content = read_file(folder, path, sha256)
        size += len(content)
        if size > MAX_BYTES:
            raise DamagedArtifact(
                f"{folder / MANIFEST}: expected files of at most {MAX_BYTES} bytes in all, received more"
            )
        if path in (MODEL, GOLDEN):
            served[path] = content
    for path in (MODEL, GOLDEN):
        if path not in served:
            raise DamagedArtifact(f"{folder / MANIFEST}: expected {path} in its list of files, but it is missing")
    return manifest, served


def read_file(folder: Path, path: str, sha256: str) -> bytes:
    """Read one of a version's files. Raises DamagedArtifact, with both hashes if its checksum is not the manifest's."""
    content = _read(folder, path, _most_bytes(path))
    received = hashlib.sha256(content).hexdigest()
    if received != sha256:
        raise DamagedArtifact(f"{folder / path}: expected sha256 {sha256}, received {received}")
    return content


def _most_bytes(path: str) -> int:
    return MAX_JSON_BYTES if path == GOLDEN else MAX_FILE_BYTES


def require_root(root: Path, name: str = NAME) -> None:
    """Raise PublishFailed if `root` is the folder of one version, or has the version with the highest number."""
    if is_version(root.absolute(), name):
        raise PublishFailed(f"expected the folder of all published versions, received the folder of one, {root}")
    _next_version(root, name)


def _next_version(root: Path, name: str) -> int:
    highest = max(versions(root, name), default=0)
    if highest == MAX_VERSION:
        raise PublishFailed(
            f"{root / name}: expected versions below {MAX_VERSION}, received {highest}: no number is left"
        )
    return max(FIRST_OWN_VERSION, highest + 1)


def publish(root: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any], *, name: str = NAME) -> Manifest:
    """Publish a new version atomically: a reader sees all of it or nothing, even after a crash.

    Its number is one above the highest number below `root`, and at least FIRST_OWN_VERSION. Concurrent publishers get
    different numbers: if a number is already taken, the rename fails and the next number is tried.

    Args:
        root: the folder for published versions. It is created if it is missing.
        files: maps each path below the version's folder to its content.
        manifest: the fields of `Manifest`, except name, version, created and files.
        name: the model's name.

    Raises:
        ValueError: the manifest is invalid, or a path leads out of the version's folder.
        PublishFailed: `root` is the folder of one version, no number is left, a file is too large, or the file system
            refused (full, read-only, no permission). No new version is visible. If only the last sync failed, the
            version is visible and the message says so.
    """
    require_root(root, name)
    # No service would read larger files.
    for path, content in files.items():
        if len(content) > _most_bytes(path):
            raise PublishFailed(f"{path}: expected at most {_most_bytes(path)} bytes, received {len(content)}")
    if (size := sum(map(len, files.values()))) > MAX_BYTES:
        raise PublishFailed(f"expected files of at most {MAX_BYTES} bytes in all, received {size}")
    parent = root / name
    checksums = {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}
    record = {**manifest, "name": name, "created": datetime.now(UTC), "files": checksums}
    try:
        while True:
            version = _next_version(root, name)
            # Validated before writing, so that no file is written outside of the version's folder.
            published = Manifest.model_validate({**record, "version": version})
            content = published.model_dump_json(indent=2, exclude={"graph"}).encode() + b"\n"
            if _rename_once(parent / str(version), {**files, MANIFEST: content}):
                break
    except OSError as exc:
        raise PublishFailed(f"nothing was published below {parent}: {exc.strerror or exc}") from exc
    try:
        _sync_folder(parent)
    except OSError as exc:
        raise PublishFailed(
            f"{parent / str(version)} was published, but a power cut may destroy it: {exc.strerror or exc}"
        ) from exc
    return published


def write_once(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Write a folder atomically, as `publish` does. Return False if it, or a file of that name, exists already.

    Raises OSError if the file system refuses. The folder is visible only if the last sync failed.
    """
    is_new = _rename_once(folder, files)
    _sync_folder(folder.parent)
    return is_new


def _rename_once(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Write and sync a temporary folder, and rename it. Return False if the new name is taken."""
    staging = folder.parent / f"{_STAGING}{uuid.uuid4().hex}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale_folders(folder.parent)
        for path, content in files.items():
            file = staging / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        for inner in [staging, *(path for path in staging.rglob("*") if path.is_dir())]:
            _sync_folder(inner)
        try:
            staging.rename(folder)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            return False
        return True
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _read(folder: Path, path: str, limit: int) -> bytes:
    file = folder / path
    try:
        # The folder may be or contain symbolic links, as in Kubernetes volumes. They must not lead out of the folder.
        real = Path(os.path.realpath(file, strict=True))
        if not real.is_relative_to(os.path.realpath(folder)):
            raise DamagedArtifact(f"{file}: expected a file of the version, received a link out of its folder")
        # Without O_NONBLOCK, a FIFO would be waited for until somebody writes to it.
        mode = os.O_NONBLOCK | os.O_NOFOLLOW
        with open(real, "rb", opener=lambda path, flags: os.open(path, flags | mode)) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DamagedArtifact(f"{file}: cannot be read: Not a regular file")
            # A file that is too large is not read. It may also grow after this check.
            content = stream.read(limit + 1) if status.st_size <= limit else None
    except FileNotFoundError as exc:
        raise DamagedArtifact(f"{file}: missing") from exc
    except OSError as exc:
        raise DamagedArtifact(f"{file}: cannot be read: {exc.strerror}") from exc
    if content is None or len(content) > limit:
        raise DamagedArtifact(f"{file}: expected at most {limit} bytes, received more")
    return content


def _sync_folder(folder: Path) -> None:
    """Flush the folder's entries to disk, so that they survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale_folders(parent: Path) -> None:
    """Remove the temporary folders of killed publishers. A recent folder may belong to a running publisher."""
    for folder in parent.glob(f"{_STAGING}*"):
        with suppress(FileNotFoundError):  # another publisher renamed or removed it
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
