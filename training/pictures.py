"""Read your own labelled pictures: a folder for each class, with picture files of any size."""

import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.errors import DigitsError
from digits.features import SIDE, Grey, to_features
from digits.model.artifact import Preprocessing
from digits.model.classes import check_class_names
from digits.normalization.mnist_form import Preparation, are_mnist_form
from digits.picture import Picture, prepare_pixels, read_file
from digits.pictures.decode import PICTURE_SUFFIXES
from training.errors import InvalidData

MIN_PICTURES = 20
"""Each class needs as many, so that the training, validation, calibration and test part have a picture of it."""

IN_FORM = 0.95
"""Share of pictures in MNIST form from which on the preprocessing is `normalize` by default."""

_SHOWN = 5
"""Number of unreadable files that an error names."""


@dataclass(frozen=True, slots=True)
class LabelledPictures:
    """The pictures of a folder in the network's form."""

    pixels: Grey
    """uint8 (N, 28, 28)."""
    labels: NDArray[np.uint8]
    """uint8 (N,), indices of classes."""
    classes: tuple[str, ...]
    preprocessing: Preprocessing


def has_class_folders(folder: Path) -> bool:
    """Return whether a folder has folders, which are then the classes."""
    return any(entry.is_dir() for entry in _visible(folder))


def read_class_folders(folder: Path, preprocessing: Preprocessing | None) -> LabelledPictures:
    """Read the pictures of all classes. A class is named after its folder, and classes are sorted by name.

    Args:
        folder: has a folder for each class.
        preprocessing: how to prepare the pictures, as the service will. None chooses: see `default_preprocessing`.

    Raises:
        InvalidData: the number or the names of the classes are wrong, a class has too few pictures, or files cannot be
            read. The message names them.
    """
    class_folders = sorted((entry for entry in _visible(folder) if entry.is_dir()), key=_by_number_or_name)
    classes = tuple(unicodedata.normalize("NFC", entry.name) for entry in class_folders)
    try:
        check_class_names(classes)
    except ValueError as exc:
        raise InvalidData(f"{folder}: {exc}, as the names of its folders") from exc
    loose = [entry.name for entry in _visible(folder) if entry.is_file() and _is_picture(entry)]
    if loose:
        raise InvalidData(f"{folder}: expected pictures in the folders of classes only, received {loose[0]}")
    files = [_pictures(each) for each in class_folders]
    few = [f"{len(own)} in {name!r}" for name, own in zip(classes, files, strict=True) if len(own) < MIN_PICTURES]
    if few:
        raise InvalidData(
            f"{folder}: expected at least {MIN_PICTURES} pictures of each class, received {', '.join(few[:_SHOWN])}"
        )
    every_file = [file for own in files for file in own]
    pixels = None
    if preprocessing != "normalize":
        pixels = _read_all(folder, every_file, "resize")
        preprocessing = preprocessing or default_preprocessing(pixels)
    if pixels is None or preprocessing == "normalize":
        pixels = _read_all(folder, every_file, "auto")
    labels = np.repeat(np.arange(len(classes), dtype=np.uint8), [len(own) for own in files])
    return LabelledPictures(pixels, labels, classes, preprocessing)


def default_preprocessing(pixels: Grey) -> Preprocessing:
    """Return `normalize` if nearly all pictures, uint8 (N, 28, 28), are in MNIST form already, else `resize`."""
    return "normalize" if are_mnist_form(to_features(pixels)).mean() >= IN_FORM else "resize"


def normalize_arrays(name: str, pixels: Grey) -> Grey:
    """Bring the pictures of an array, uint8 (N, 28, 28), to MNIST form, as the service does. Raises InvalidData."""
    normalized, failures = pixels.copy(), []
    for index in np.flatnonzero(~are_mnist_form(to_features(pixels))).tolist():
        try:
            normalized[index] = prepare_pixels(pixels[index], "auto").pixels
        except DigitsError as exc:
            failures.append(f"{index}: {exc}")
    _refuse(f"{name}: expected pictures that can be normalized", failures, len(pixels))
    return normalized


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as exc:
        raise InvalidData(f"{folder}: the folder cannot be listed: {exc.strerror}") from exc


def _by_number_or_name(folder: Path) -> tuple[int, str]:
    """Sort 2 before 10, and numbers before other names."""
    return (int(folder.name) if folder.name.isdecimal() else 10**9, folder.name)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURE_SUFFIXES


def _pictures(class_folder: Path) -> list[Path]:
    """Return the picture files of a class. Other files are skipped. Raises InvalidData for a folder in it."""
    entries = _visible(class_folder)
    inner = [entry for entry in entries if entry.is_dir()]
    if inner:
        raise InvalidData(f"{class_folder}: expected the pictures of a class, received the folder {inner[0].name}")
    return [entry for entry in entries if _is_picture(entry)]


def _read_all(folder: Path, files: Sequence[Path], preparation: Preparation) -> Grey:
    pixels = np.empty((len(files), SIDE, SIDE), dtype=np.uint8)
    failures = []
    with ThreadPoolExecutor() as threads:
        for index, prepared in enumerate(threads.map(partial(_read, preparation=preparation), files)):
            if isinstance(prepared, DigitsError):
                failures.append(f"{files[index].relative_to(folder)}: {prepared}")
            else:
                pixels[index] = prepared
    _refuse(f"{folder}: expected readable pictures", failures, len(files))
    return pixels


def _read(file: Path, preparation: Preparation) -> Grey | DigitsError:
    try:
        pixels: Grey = Picture(read_file(file)).prepare(preparation).pixels
    except DigitsError as exc:
        return exc
    return pixels


def _refuse(expected: str, failures: Sequence[str], total: int) -> None:
    if failures:
        more = f"; and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
        raise InvalidData(
            f"{expected}, received {len(failures)} of {total} that are not: {'; '.join(failures[:_SHOWN])}{more}"
        )
