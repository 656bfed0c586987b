"""Tell whether two paths lead to the same file."""

import os
from collections.abc import Iterable
from pathlib import Path

Identity = tuple[int, int]
"""The device and the inode of a file. All its paths, symbolic links and hard links share it."""


def identity(file: str | Path) -> Identity | None:
    """Return the identity of a file, or None if there is no file."""
    try:
        status = os.stat(file)  # noqa: PTH116 - Path takes ten times as long
    except OSError:
        return None
    return status.st_dev, status.st_ino


def by_identity(files: Iterable[Path]) -> dict[Identity | None, Path]:
    """Return those of the files that exist, by identity."""
    return {found: file for file in files if (found := identity(file)) is not None}
