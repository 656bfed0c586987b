"""Read your own labelled pictures, and choose how to prepare them."""

import hashlib
import os
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.errors import DigitsError
from digits.features import SIDE, Grey, to_features
from digits.model.artifact import Preprocessing
from digits.model.classes import check_class_names
from digits.picture import Picture, read_file
from digits.pictures.decode import PICTURE_SUFFIXES
from training.errors import InvalidData

MIN_PICTURES = 20
"""Each class needs as many, so that the training, validation, calibration and test part have a picture of it."""

MAX_COMPARED = 2000
"""Maximum number of pictures that the choice of the preprocessing compares. More would take minutes to read."""

_SHOWN = 5
"""Number of unreadable files that an error names."""

_Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures that are opened one by one, when they are prepared."""

    source: str
    """Where they are, for error messages."""
    names: Sequence[str]
    """The name of each picture, for error messages."""
    open: Callable[[int], Picture]
    """Return the picture with this index. May raise DigitsError."""

    def prepare(self, preprocessing: Preprocessing) -> Grey:
        """Return the pictures as the service prepares them, uint8 (N, 28, 28).

        Raises InvalidData, which names the pictures that cannot be prepared.
        """
        pixels, errors = self._prepare(preprocessing, np.arange(len(self.names)))
        if errors:
            named = "; ".join(f"{self.names[index]}: {error}" for index, error in list(errors.items())[:_SHOWN])
            more = f"; and {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
            raise InvalidData(
                f"{self.source}: expected pictures for the preprocessing {preprocessing!r}, received {len(errors)} of "
                f"{len(pixels)} that cannot be prepared: {named}{more}"
            )
        return pixels

    def choose_preprocessing(self, labels: NDArray[np.uint8], indices: _Indices) -> Preprocessing:
        """Return the preprocessing after which the most similar other picture more often shows the same class.

        Normalization brings out the strokes of a drawing, whatever its paper, light and place. It destroys textures
        and grey levels, and often finds no ink in them. A picture that cannot be prepared counts as wrong, and if more
        than a twentieth cannot be normalized, all are resized. At a tie, `normalize` is better, because it also
        prepares pictures unlike those of the training.

        The labels, uint8, are those of all pictures. The indices should not be those of test pictures.
        """
        if len(indices) > MAX_COMPARED:
            indices = np.random.default_rng(0).choice(indices, MAX_COMPARED, replace=False)
        shares: dict[Preprocessing, float] = {}
        for preprocessing in ("resize", "normalize"):
            pixels, errors = self._prepare(preprocessing, indices)
            right = _nearest_has_same_class(pixels, labels[indices]) & ~np.isin(indices, list(errors))
            shares[preprocessing] = right.mean() if len(errors) <= len(indices) / 20 else -1
        return "normalize" if shares["normalize"] >= shares["resize"] else "resize"

    def _prepare(self, preprocessing: Preprocessing, indices: _Indices) -> tuple[Grey, dict[int, DigitsError]]:
        """Return the pictures, black where one cannot be prepared, and the errors by index."""
        preparation = "auto" if preprocessing == "normalize" else preprocessing

        def read(index: int) -> Grey | DigitsError:
            try:
                pixels: Grey = self.open(index).prepare(preparation).pixels
            except DigitsError as exc:
                return exc
            return pixels

        pixels, errors = np.zeros((len(indices), SIDE, SIDE), dtype=np.uint8), {}
        with ThreadPoolExecutor() as threads:
            for row, (index, prepared) in enumerate(zip(indices.tolist(), threads.map(read, indices), strict=True)):
                if isinstance(prepared, DigitsError):
                    errors[index] = prepared
                else:
                    pixels[row] = prepared
        return pixels, errors


def _nearest_has_same_class(pixels: Grey, labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return for each picture, uint8 (N, 28, 28), whether the nearest other one by Euclidean distance has its label."""
    x = to_features(pixels)
    distances = (x * x).sum(axis=1) - 2 * x @ x.T  # squared, without the constant of each row
    np.fill_diagonal(distances, np.inf)
    same: NDArray[np.bool_] = labels[distances.argmin(axis=1)] == labels
    return same


@dataclass(frozen=True, slots=True)
class ClassFolders:
    """The picture files of a folder with a folder for each class."""

    pictures: Pictures
    labels: NDArray[np.uint8]
    """uint8 (N,), indices of classes. Pictures of other things have the index after the last class."""
    classes: tuple[str, ...]
    is_test: NDArray[np.bool_]
    """(N,): a fifth of each class. A picture keeps its part when others are added, with few exceptions."""


def has_class_folders(folder: Path) -> bool:
    """Return whether a folder has folders, which are then the classes."""
    return any(entry.is_dir() for entry in _visible(folder))


def picture_in(folder: Path) -> str | None:
    """Return the name of a picture directly in a folder, or None."""
    return next((entry.name for entry in _visible(folder) if entry.is_file() and _is_picture(entry)), None)


def find_class_folders(folder: Path, *, min_pictures: int = MIN_PICTURES, other: str | None = None) -> ClassFolders:
    """Find the pictures of all classes. A class is named after its folder, and classes are sorted by name.

    `other` names the folder of pictures that show none of them. Raises InvalidData if it does not exist, the number or
    the names of the classes are wrong, or one of the folders has fewer than `min_pictures`.
    """
    folders = sorted((entry for entry in _visible(folder) if entry.is_dir()), key=_by_number_or_name)
    names = [unicodedata.normalize("NFC", entry.name) for entry in folders]
    if other is not None and other not in names:
        raise InvalidData(f"{folder}: expected the folder {other!r} for --other, received {', '.join(names)}")
    of_other = [entry for entry, name in zip(folders, names, strict=True) if name == other]
    class_folders = [entry for entry in folders if entry not in of_other]
    classes = tuple(name for name in names if name != other)
    alike = {name.casefold(): name for name in classes}
    if twins := sorted({name, alike[name.casefold()]} for name in classes if alike[name.casefold()] != name):
        raise InvalidData(
            f"{folder}: expected classes that differ in more than case, received {' and '.join(sorted(twins[0]))}. "
            "Put one class into one folder, and name two classes so that nobody confuses them"
        )
    try:
        check_class_names(classes)
    except ValueError as exc:
        raise InvalidData(f"{folder}: {exc}, as the names of its folders") from exc
    if loose := picture_in(folder):
        raise InvalidData(f"{folder}: expected pictures in the folders of classes only, received {loose}")
    files = [_pictures(each) for each in (*class_folders, *of_other)]
    few = [
        f"{len(own)} in {each.name!r}"
        for each, own in zip((*class_folders, *of_other), files, strict=True)
        if len(own) < min_pictures
    ]
    if few:
        raise InvalidData(
            f"{folder}: expected at least {min_pictures} pictures of each class, received {', '.join(few[:_SHOWN])}"
        )
    every_file = [file for own in files for file in own]
    return ClassFolders(
        Pictures(
            str(folder),
            [str(file.relative_to(folder)) for file in every_file],
            lambda index: Picture(read_file(every_file[index])),
        ),
        np.repeat(np.arange(len(files), dtype=np.uint8), [len(own) for own in files]),
        classes,
        np.concatenate([_test_files(own) for own in files]),
    )


def array_pictures(name: str, pixels: Grey) -> Pictures:
    """Return the pictures of an array, uint8 (N, 28, 28)."""
    return Pictures(name, [str(index) for index in range(len(pixels))], lambda index: Picture.of_pixels(pixels[index]))


def _test_files(files: Sequence[Path]) -> NDArray[np.bool_]:
    """Return which files of a class are for testing: the fifth whose names have the smallest hashes."""
    hashes = np.array([hashlib.sha256(os.fsencode(file.name)).hexdigest() for file in files])
    is_test: NDArray[np.bool_] = hashes.argsort().argsort() < len(files) // 5
    return is_test


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
