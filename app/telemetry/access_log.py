"""The access log: one line a request on stderr, probes left out."""

import re
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

import orjson
from starlette.types import Scope

from app.telemetry.probes import PROBES

UNLOGGED = frozenset((*PROBES, "/metrics"))
"""Paths that machines ask every few seconds."""

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class CompletedRequest(NamedTuple):
    """A request that was answered."""

    scope: Scope | None
    """None for what was no request."""
    request_id: bytes
    traceparent: bytes
    """As the client sent it, b"" where it did not."""
    route: str | None
    """The pattern that its path matched."""
    status: int
    """HTTP's."""
    seconds: float
    """From when its head had come to when its reply was handed to the server."""
    size: int
    """Bytes of the reply's body."""
    batch: int | None
    """Pictures in the forward pass that answered it; None without one."""
    version: int | None
    """Of the model that answered it."""


class AccessLog:
    """JSON for machines, or a shorter form where a person looks on.

    Requests come together, those of a turn of the event loop: a `logging` call and a write for each would take 20 us.
    """

    def __init__(self) -> None:
        """To this process' stderr."""
        # Not `sys.stderr` itself, in whose place Ray Serve puts one that says it is a terminal.
        self._lines = _short if sys.stderr.buffer.isatty() else _json

    def write(self, requests: Iterable[CompletedRequest]) -> None:
        """A line for each."""
        lines = b"".join(
            self._lines([ended for ended in requests if ended.scope is None or ended.scope["path"] not in UNLOGGED])
        )
        if not lines:
            return
        try:
            sys.stderr.buffer.write(lines)
            sys.stderr.buffer.flush()
        except (OSError, ValueError):  # nobody listens any more: no reason to refuse requests
            return


def _path(scope: Scope) -> str:
    """As it was sent, percent-encoded: no control character of a client's gets onto a terminal."""
    path: str = scope["raw_path"].decode("latin-1") if "raw_path" in scope else quote(scope["path"])
    return path


def _client(scope: Scope) -> str | None:
    """Its address, as a trusted proxy has it where one is set."""
    client = scope.get("client")
    return client[0] if client else None


def _short(requests: Iterable[CompletedRequest]) -> Iterator[bytes]:
    now = time.strftime("%H:%M:%S")
    for ended in requests:
        what = f"{ended.scope['method']} {_path(ended.scope)}" if ended.scope else "no request"
        yield f"{now} {ended.status} {what} {ended.seconds * 1000:.3f} ms\n".encode()


def _json(requests: Iterable[CompletedRequest]) -> Iterator[bytes]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for ended in requests:
        line = {
            "time": now,
            "request_id": ended.request_id.decode(),
            "client": _client(ended.scope) if ended.scope else None,
            "method": ended.scope["method"] if ended.scope else None,
            "path": _path(ended.scope) if ended.scope else None,
            "route": ended.route,
            "status": ended.status,
            "ms": round(ended.seconds * 1000, 3),
            "bytes": ended.size,
            "batch": ended.batch,
            "version": ended.version,
        }
        if ended.traceparent and (trace := _TRACEPARENT.fullmatch(ended.traceparent)):
            line["trace_id"], line["parent_id"] = trace[1].decode(), trace[2].decode()
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
