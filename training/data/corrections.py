"""Read the answers that a person has corrected, and cut out their digits as the service does.

The table is a CSV file of the page, `digits predict` or `digits read`. Where `checked_by` is `person`, `text` or
`digit` says what the picture shows.
"""

import csv
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.errors import DigitsError
from digits.features import SIDE, Grey
from digits.finder.read import read_digits
from digits.model import artifact
from digits.model.artifact import CORRECTIONS
from digits.model.classes import DIGITS
from digits.model.classifier import Classifier
from digits.model.predictions import judge
from digits.picture import Picture, read_file
from training.data.images import Labels
from training.errors import InvalidData

_SHOWN = 10
"""Number of unusable rows that an error names."""


@dataclass(frozen=True, slots=True)
class Corrections:
    """Digits that persons have read."""

    pixels: Grey
    """uint8 (N, 28, 28), in MNIST form."""
    labels: Labels
    """uint8 (N,)."""
    pictures: NDArray[np.int64]
    """(N,): the number of the picture that a digit is on."""

    @property
    def picture_count(self) -> int:
        """Number of pictures."""
        return len(np.unique(self.pictures))

    def select(self, chosen: NDArray[np.bool_]) -> "Corrections":
        return Corrections(self.pixels[chosen], self.labels[chosen], self.pictures[chosen])

    def are_in(self, other: "Corrections") -> NDArray[np.bool_]:
        """Return which digits have the same pixels as one of the others, (N,)."""
        known = {pixels.tobytes() for pixels in other.pixels}
        return np.array([pixels.tobytes() in known for pixels in self.pixels], dtype=bool)

    def and_others(self, other: "Corrections") -> "Corrections":
        """Return these digits and those of the others that are not among them."""
        new = other.select(~other.are_in(self))
        first = self.pictures.max(initial=-1) + 1
        return Corrections(
            np.concatenate([self.pixels, new.pixels]),
            np.concatenate([self.labels, new.labels]),
            np.concatenate([self.pictures, new.pictures + first]),
        )

    def to_npz(self) -> bytes:
        """Return the content of the file that a version keeps."""
        content = BytesIO()
        np.savez_compressed(content, pixels=self.pixels, labels=self.labels, pictures=self.pictures)
        return content.getvalue()


def by_digit(labels: Labels) -> tuple[int, ...]:
    """Return how often each digit is among the labels."""
    return tuple(np.bincount(labels, minlength=len(DIGITS)).tolist())


def of_version(classifier: Classifier) -> Corrections:
    """Return the corrections that a loaded version has learned from, none for most versions. Raises DamagedArtifact."""
    sha256 = classifier.manifest.files.get(CORRECTIONS)
    if classifier.folder is None or sha256 is None:
        return Corrections(np.empty((0, SIDE, SIDE), np.uint8), np.empty(0, np.uint8), np.empty(0, np.int64))
    with np.load(BytesIO(artifact.read_file(classifier.folder, CORRECTIONS, sha256)), allow_pickle=False) as arrays:
        return Corrections(arrays["pixels"], arrays["labels"], arrays["pictures"])


@dataclass(frozen=True, slots=True)
class _Row:
    """What a person has read."""

    number: int
    """As a spreadsheet counts: the first one after the names of the columns is 2."""
    picture: Path
    digits: str
    is_number: bool
    """Whether the table is one of numbers. Otherwise the picture has one digit."""


def read(table: Path, folder: Path | None, classifier: Classifier) -> tuple[Corrections, dict[int, str]]:
    """Return the corrected digits, and by row why other rows that a person has checked have none to learn from.

    Paths begin in `folder` or else beside the table. The version finds the digits of a number. Raises InvalidData.
    """
    rows = _rows(table, folder)
    with ThreadPoolExecutor() as threads:
        cut = list(threads.map(lambda row: _cut(classifier, row), rows))
    found = [(row, pixels) for row, pixels in zip(rows, cut, strict=True) if not isinstance(pixels, str)]
    if not found:
        raise InvalidData(f"{table}: expected rows with `person` in checked_by and digits to learn from, received none")
    corrections = Corrections(
        np.concatenate([pixels for _, pixels in found]),
        np.array([int(digit) for row, _ in found for digit in row.digits], dtype=np.uint8),
        np.repeat(np.arange(len(found)), [len(pixels) for _, pixels in found]),
    )
    return corrections, {row.number: why for row, why in zip(rows, cut, strict=True) if isinstance(why, str)}


def _cut(classifier: Classifier, row: _Row) -> Grey | str:
    """Return the digits of a picture, uint8 (N, 28, 28), or why none of them is used."""
    try:
        picture = Picture(read_file(row.picture))
        if row.is_number:
            pixels = read_digits(classifier, picture).pixels
        else:
            judged = judge(classifier, [picture.prepare("auto")], lambda _index: picture.look_again())
            pixels = judged.seen[0].normalized.pixels[None]
    except DigitsError as exc:
        return str(exc)
    if len(pixels) != len(row.digits):
        return f"expected {len(row.digits)} digits as in its text, found {len(pixels)}"
    return pixels


def _rows(table: Path, folder: Path | None) -> list[_Row]:
    """Return the rows that a person has checked, each picture once. Raises InvalidData, which lists unusable rows."""
    rows, problems, first_of = list[_Row](), list[str](), dict[str, _Row]()
    for number, cells in _checked_rows(table):
        is_number = "text" in cells
        digits = "".join((cells["text"] if is_number else cells["digit"]).replace("/", " ").split())
        if not digits:  # a person says that there is no number
            continue
        path = cells["path"].removeprefix("'")  # which keeps a spreadsheet from computing a name that begins with =
        file = next((each for each in _places(path, table, folder) if each.is_file()), None)
        if not (digits.isascii() and digits.isdecimal() and (is_number or len(digits) == 1)):
            problems.append(f"row {number}: expected {'digits' if is_number else 'one digit'}, received {digits!r}")
        elif file is None:
            problems.append(f"row {number}: expected a picture, found no file {path}")
        else:
            row = _Row(number, file, digits, is_number)
            try:
                first = first_of.setdefault(hashlib.sha256(read_file(file)).hexdigest(), row)
            except DigitsError as exc:
                problems.append(f"row {number}: {path}: {exc}")
                continue
            if first.digits != digits:
                problems.append(f"rows {first.number} and {number}: {first.digits} and {digits} for the same picture")
            elif first is row:
                rows.append(row)
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InvalidData(f"{table}: {'; '.join(problems[:_SHOWN])}{more}")
    return rows


def _checked_rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of each row that a person has checked. Raises InvalidData."""
    try:
        text = table.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidData(f"{table}: expected a CSV file in UTF-8, which cannot be read: {exc}") from exc
    header = text.partition("\n")[0]
    reader = csv.DictReader(StringIO(text, newline=""), delimiter=";" if ";" in header else ",", restval="")
    columns = reader.fieldnames or ()
    if not {"path", "checked_by"} <= {*columns} or not {"text", "digit"} & {*columns}:
        received = ", ".join(columns) or "none"
        raise InvalidData(f"{table}: expected the columns path, checked_by and text or digit, received {received}")
    for number, cells in enumerate(reader, start=2):
        if cells["checked_by"].strip() == "person":
            yield number, cells


def _places(path: str, table: Path, folder: Path | None) -> Iterator[Path]:
    """Yield where a picture may be: in the folder, else beside the table, else in the working directory."""
    if folder is not None:
        yield from (folder / path, folder / Path(path).name)
    else:
        yield from (table.parent / path, Path(path))
