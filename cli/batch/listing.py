"""The pictures of a run, listed one folder at a time, always in the same order."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import NamedTuple

from digits.pictures.decode import PICTURE_SUFFIXES


class UnusableSource(Exception):
    """A source does not exist, cannot be listed, or has no pictures. The message is one line."""


class File(NamedTuple):
    """A file of a source."""

    path: str
    is_picture: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Number of files in all sources."""

    pictures: int
    others: int


def count(sources: Sequence[str]) -> Counts:
    """Count the files of all sources.

    Raises:
        UnusableSource: a source does not exist, cannot be listed, or has no pictures.
    """
    pictures = others = 0
    for source in sources:
        before = pictures
        for file in _files(source):
            if file.is_picture:
                pictures += 1
            else:
                others += 1
        if pictures == before:
            raise UnusableSource(f"{source}: expected pictures, received a folder without any")
    return Counts(pictures, others)


def pictures(sources: Sequence[str]) -> Iterator[str]:
    """Yield the path of each picture.

    The sources keep their order. Below a folder, files and folders are sorted by name. Names that begin with a dot are
    skipped. A file that is itself a source counts as a picture, whatever its name is. Only the names of the folders on
    the way are in memory, about 150 bytes for each file.

    Raises:
        UnusableSource: a source does not exist or cannot be listed.
    """
    for source in sources:
        for file in _files(source):
            if file.is_picture:
                yield file.path


def _files(source: str) -> Iterator[File]:
    try:
        mode = os.stat(source).st_mode  # noqa: PTH116 - a path stays the text that the user wrote
    except OSError as exc:
        raise UnusableSource(f"{source}: expected a file or a folder: {exc.strerror}") from exc
    if stat.S_ISDIR(mode):
        yield from _files_below(source, ())
    else:
        yield File(source, is_picture=True)


def _files_below(folder: str, parents: tuple[tuple[int, int], ...]) -> Iterator[File]:
    """Yield the files below a folder. `parents` has the (device, inode) of each folder above it."""
    try:
        here = os.stat(folder)  # noqa: PTH116
        with os.scandir(folder) as entries:
            names = sorted(_marked_name(entry) for entry in entries if not entry.name.startswith("."))
    except OSError as exc:
        raise UnusableSource(f"{folder}: the folder cannot be listed: {exc.strerror}") from exc
    identity = (here.st_dev, here.st_ino)
    if identity in parents:  # a symbolic link to a folder above
        return
    for name in names:
        path = os.path.join(folder, name)  # noqa: PTH118 - Path takes ten times as long
        if name.endswith("/"):
            yield from _files_below(path[:-1], (*parents, identity))
        else:
            yield File(path, PurePath(name).suffix.lower() in PICTURE_SUFFIXES)


def _marked_name(entry: os.DirEntry[str]) -> str:
    """Return the name, with a slash at its end if it is a folder."""
    return entry.name + "/" if entry.is_dir() else entry.name
