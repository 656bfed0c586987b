"""Read the API keys and their names from the file that `MNIST_API_KEYS_FILE` names."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

Keys = Mapping[bytes, str]
"""The name of each key, by the sha256 of the key."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_KEY = re.compile(r"[!-~]{16,}")
"""Printable ASCII without spaces, long enough not to be guessed."""
_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


def read_keys(file: Path) -> Keys:
    """Return the keys of a file with lines such as `name:key` or `name:sha256:HEX`.

    Empty lines and lines that begin with `#` are skipped. Several keys may have one name.

    Raises:
        ValueError: the file cannot be read, or a line is wrong. The message has no key.
    """
    try:
        text = file.read_text("latin-1")  # so that a byte that is not ASCII makes its line invalid
    except OSError as exc:
        raise ValueError(f"cannot read {file}: {exc.strerror or exc}") from exc
    keys: dict[bytes, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        name, _, key = line.rstrip("\r").partition(":")
        if not line.strip() or line.startswith("#"):
            continue
        digest = _digest(key)
        if digest is None or not _NAME.fullmatch(name):
            raise ValueError(
                f"{file}, line {number}: expected `name:key` with a key of at least 16 printable ASCII characters "
                "without spaces, or `name:sha256:` with 64 hexadecimal digits in lower case, received another line"
            )
        if keys.setdefault(digest, name) != name:
            raise ValueError(
                f"{file}, line {number}: expected a key for each name, received a key that another name has already"
            )
    if not keys:
        raise ValueError(f"{file}: expected at least one key, received none")
    return keys


def _digest(key: str) -> bytes | None:
    """Return the sha256 of a key or the one that stands in its place, or None if it is neither."""
    if key.startswith("sha256:"):
        given = _SHA256.fullmatch(key)
        return bytes.fromhex(given[1]) if given else None
    return hashlib.sha256(key.encode()).digest() if _KEY.fullmatch(key) else None
