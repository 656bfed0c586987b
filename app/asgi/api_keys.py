"""Check API keys. A request for any path that is not public must have a known key."""

import hashlib
import logging
import re
from collections.abc import Iterable
from pathlib import Path

from app.errors import Unauthorized
from app.settings import Settings
from app.telemetry.access_log import PROBES

PUBLIC = frozenset({"/", "/docs", "/openapi.json", *PROBES})
"""The paths that need no key. The files of the pages need no key either."""

_PUBLIC_FOLDERS = ("/page/", "/docs/assets/", "/examples/")

_LINE = re.compile(r"([a-z0-9][a-z0-9._-]{0,39}):(?:sha256:([0-9a-f]{64})|(?!sha256:)([!-~]{16,}))")
"""A name, and a digest or a key. A key is printable ASCII without spaces, long enough not to be guessed."""

_log = logging.getLogger(__name__)


class ApiKeys:
    """The keys that the service knows, as digests with names."""

    def __init__(self, settings: Settings) -> None:
        """Read the keys of `settings`. If it has none, every request is allowed.

        Raises SystemExit in one line if the keys cannot be read, or are missing although they are required.
        """
        self.file = settings.api_keys_file
        self.problem: str | None = None
        """Why the file was not usable when it was last read, without its path."""
        self._names: dict[bytes, str] = {}
        """The name of each key, by the sha256 of the key."""
        if self.file is not None:
            try:
                self._names = _read_keys(self.file)
            except ValueError as exc:
                raise SystemExit(f"digits: MNIST_API_KEYS_FILE: {exc}") from None
            _log.info("requests need an API key (keys set: %d)", len(self._names))
        elif settings.require_keys:
            raise SystemExit("digits: MNIST_REQUIRE_KEYS: expected a file in MNIST_API_KEYS_FILE, received none")

    def key_name(self, path: str, pairs: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the name of the key in a request's headers, or None if the path needs no key.

        Raises Unauthorized with the same message whether the key is missing or wrong.
        """
        if self.file is None or path in PUBLIC or path.startswith(_PUBLIC_FOLDERS):
            return None
        headers = dict(pairs)
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        for key in (headers.get(b"x-api-key", b""), bearer.strip() if scheme.lower() == b"bearer" else b""):
            # The time of the lookup depends on the hash only, which tells nothing about a key that is known.
            if (name := self._names.get(hashlib.sha256(key).digest())) is not None:
                return name
        raise Unauthorized("expected a known API key, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`")

    def refresh(self) -> None:
        """Read the file again. While it is not usable, the keys before stay known."""
        if self.file is None:
            return
        try:
            names = _read_keys(self.file)
        except ValueError as exc:
            before, self.problem = self.problem, str(exc).replace(str(self.file), "MNIST_API_KEYS_FILE")
            if self.problem != before:
                _log.error("the API keys stay as they are: %s", exc)
            return
        self.problem = None
        if names != self._names:
            self._names = names
            _log.info("read the API keys again (keys set: %d)", len(names))


def _read_keys(file: Path) -> dict[bytes, str]:
    """Return the keys of a file with lines such as `name:key` or `name:sha256:HEX`.

    Empty lines and lines that begin with `#` are skipped. Several keys may have one name. Raises ValueError, without a
    key in its message, if the file cannot be read or a line is wrong.
    """
    try:
        text = file.read_text("latin-1")  # so that a byte that is not ASCII makes its line invalid
    except OSError as exc:
        raise ValueError(f"cannot read {file}: {exc.strerror or exc}") from exc
    keys: dict[bytes, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(
                f"{file}, line {number}: expected `name:key` with a key of at least 16 printable ASCII characters "
                "without spaces, or `name:sha256:` with 64 hexadecimal digits in lower case, received another line"
            )
        name, sha256, key = found.groups()
        digest = bytes.fromhex(sha256) if sha256 else hashlib.sha256(key.encode()).digest()
        if keys.setdefault(digest, name) != name:
            raise ValueError(
                f"{file}, line {number}: expected a key for each name, received a key that another name has already"
            )
    if not keys:
        raise ValueError(f"{file}: expected at least one key, received none")
    return keys
