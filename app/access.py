"""The access log: one line a request on stderr, probes left out."""

import asyncio
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import orjson
from starlette.types import Scope

from app.routes.health import PROBES

_Entry = tuple[str, str, int, float, int]
"""Method, path, status, milliseconds, bytes."""


class AccessLog:
    """JSON for machines, or a shorter form where a person looks on.

    Lines are gathered during a turn of the event loop and written at its end, all at once: a `logging` call and a
    write for each would take 20 us of the request.
    """

    def __init__(self) -> None:
        """To this process' stderr."""
        self._for_a_person = sys.stderr.isatty()
        self._entries: list[_Entry] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def write(self, scope: Scope, status: int, size: int, seconds: float) -> None:
        """Note a request.

        Args:
            scope: of the request.
            status: the HTTP status that it was answered with.
            size: bytes of the reply's body.
            seconds: from when it came to when its reply was handed to the server.
        """
        if scope["path"] in PROBES:
            return
        loop = asyncio.get_running_loop()
        if not self._entries or loop is not self._loop:  # or the loop that was to flush them has ended
            self._loop = loop
            loop.call_soon(self._flush)
        # The path as it was sent, percent-encoded: no control character of a client's gets onto a terminal.
        path = scope["raw_path"].decode("latin-1") if "raw_path" in scope else quote(scope["path"])
        self._entries.append((scope["method"], path, status, round(seconds * 1000, 3), size))

    def _flush(self) -> None:
        entries, self._entries = self._entries, []
        lines = self._short(entries) if self._for_a_person else self._json(entries)
        try:
            sys.stderr.buffer.write(b"".join(lines))
            sys.stderr.buffer.flush()
        except (OSError, ValueError):  # nobody listens any more: no reason to refuse requests
            return

    @staticmethod
    def _short(entries: list[_Entry]) -> Iterator[bytes]:
        now = time.strftime("%H:%M:%S")
        for method, path, status, milliseconds, _ in entries:
            yield f"{now} {status} {method} {path} {milliseconds} ms\n".encode()

    @staticmethod
    def _json(entries: list[_Entry]) -> Iterator[bytes]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for method, path, status, milliseconds, size in entries:
            entry = {"time": now, "method": method, "path": path, "status": status, "ms": milliseconds, "bytes": size}
            yield orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
