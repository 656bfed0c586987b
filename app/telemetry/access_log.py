"""The access log: one line per request, without probes."""

import re
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import orjson

from app.settings import LogFormat
from digits.errors import DigitsError
from digits.model.artifact import ModelId

PROBES = (
    *("/livez", "/startupz", "/readyz", "/health", "/ping", "/v2/health/live", "/v2/health/ready"),
    # Over gRPC
    "/grpc.health.v1.Health/Check",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
)
"""The paths of the health probes, which need no API key."""

UNLOGGED = frozenset((*PROBES, "/metrics"))
"""Paths that machines request every few seconds."""

REQUEST = "digits.request"
"""The scope's key for the `CompletedRequest` of an HTTP request, while it is answered."""

_PLAIN_PATH = re.compile(rb"[!-~]*")
"""Printable ASCII. A path of HTTP is percent-encoded already, but a path of gRPC may contain any bytes."""

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


@dataclass(slots=True, eq=False)
class CompletedRequest:
    """A request with the facts that the log, the metrics and the traces report, filled in as it is answered."""

    protocol: str
    """How it arrived, "http" or "grpc"."""
    method: str
    path: str
    raw_path: bytes
    """The path as it was sent."""
    client: str | None = None
    """The client's address. Behind a trusted proxy, it is the address that the proxy reports."""
    request_id: bytes = b""
    traceparent: bytes = b""
    """The header that the client sent, or b"" without one."""
    route: str | None = None
    """The pattern that its path matched, or None for an unknown path."""
    status: int = 500
    """The HTTP status."""
    seconds: float = 0
    """Seconds from the end of its head until the server had its reply."""
    size: int = 0
    """Bytes of the reply's body."""
    batch: int | None = None
    """Pictures in the forward pass that answered it, or None without one."""
    model: ModelId | None = None
    """The model version that answered it, or None without one."""
    key_name: str | None = None
    """The name of the API key that the client sent, or None without one."""
    refusal: str | None = None
    """The name of the error that refused it, or None if it was answered."""
    picture_errors: Collection[DigitsError] = ()
    """The errors of pictures that its reply reports."""
    span: dict[str, str] | None = None
    """The `trace_id` and the `span_id` of its span, in hexadecimal digits, or None if the service sends no traces."""


def log_lines(requests: Iterable[CompletedRequest], log_format: LogFormat, *, log_clients: bool = True) -> bytes:
    """Return a line for each request, except those to unlogged paths."""
    logged = [request for request in requests if request.path not in UNLOGGED]
    return b"".join(_json(logged, log_clients=log_clients) if log_format == "json" else _text(logged))


def timestamp() -> str:
    """Return the time of day as JSON lines have it: UTC in ISO 8601, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _path(request: CompletedRequest) -> str:
    """Return the path percent-encoded, so that no control character reaches a terminal."""
    raw = request.raw_path
    return raw.decode() if _PLAIN_PATH.fullmatch(raw) else quote(raw)


def _trace(request: CompletedRequest) -> dict[str, str]:
    """Return the ids by which a trace names the request: its own span, and the span of the client that sent it."""
    client = _TRACEPARENT.fullmatch(request.traceparent) if request.traceparent else None
    ids = dict(request.span or {})
    if client and ids.setdefault("trace_id", client[1].decode()) == client[1].decode():
        ids["parent_id"] = client[2].decode()
    return ids


def _text(requests: Iterable[CompletedRequest]) -> Iterator[bytes]:
    now = time.strftime("%H:%M:%S")
    for request in requests:
        summary = f"{request.method} {_path(request)}"
        trace = "".join(f" {name}={value}" for name, value in _trace(request).items())
        key = f" key_name={request.key_name}" if request.key_name else ""
        yield f"{now} {request.status} {summary} {request.seconds * 1000:.3f} ms{key}{trace}\n".encode()


def _json(requests: Iterable[CompletedRequest], *, log_clients: bool) -> Iterator[bytes]:
    now = timestamp()
    for request in requests:
        line = {
            "time": now,
            "level": "INFO" if request.status < 400 else "WARNING" if request.status < 500 else "ERROR",
            "message": "request",
            "request_id": request.request_id.decode(),
            "client": request.client if log_clients else None,
            "key_name": request.key_name,
            "method": request.method,
            "path": _path(request),
            "route": request.route,
            "status": request.status,
            "ms": round(request.seconds * 1000, 3),
            "bytes": request.size,
            "batch": request.batch,
            "version": request.model and request.model.version,
            "graph": request.model and request.model.graph,
        }
        if request.span or request.traceparent:
            line |= _trace(request)
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
