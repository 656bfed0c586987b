"""Answer each gRPC call with an ASGI application, so that it passes the same layers as an HTTP request.

A gRPC call is an HTTP/2 POST request. Its path is `/package.Service/Method`, its headers are the call's metadata, and
its body is one message. So keys, limits, request ids, the access log, metrics and traces need no second implementation.
"""

import asyncio
from typing import Any
from urllib.parse import unquote

import grpc
from starlette.types import ASGIApp, Message, Scope

from app.api.grpc.codes import CODES
from app.asgi.endpoint import CLIENT_CLOSED_REQUEST
from app.inference.model_registry import DRAINING
from app.telemetry.probes import PROBES

MAX_ARRIVING = 16
"""How many messages may arrive at the same time, besides those of probes.

grpcio shows a message only when all of it has arrived, so the memory budget cannot count it before. Other messages wait
with their clients, apart from the first 64 KiB of each.
"""

_REPLIED = frozenset((b"x-request-id", b"x-model-version"))
"""The headers of a reply that become trailing metadata."""


class Calls(grpc.GenericRpcHandler):  # type: ignore[misc] # grpcio has no types
    """Answers every call of some services, also calls of methods that these services lack."""

    def __init__(self, app: ASGIApp, services: tuple[str, ...]) -> None:
        """Answer with `app` the calls of the services with these full names."""
        self._app = app
        self.in_work = 0
        """The number of calls that have not ended."""
        self.refuses = False
        """Whether new calls are refused because the service stops."""
        self._arriving = asyncio.Semaphore(MAX_ARRIVING)
        self._probes_arriving = asyncio.Semaphore(MAX_ARRIVING)
        self._prefixes = tuple(f"/{service}/" for service in services)

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call, or None for another service's."""
        path: str = handler_call_details.method
        if not path.startswith(self._prefixes):
            return None

        async def answer(_messages: object, context: Any) -> bytes:
            return await self._answer(path, context)

        # Declared as a stream of requests, so that a call can be refused before its message is read. Both kinds look
        # the same on the wire.
        return grpc.stream_unary_rpc_method_handler(answer)

    async def _answer(self, path: str, context: Any) -> bytes:
        if self.refuses:
            await context.abort(grpc.StatusCode.UNAVAILABLE, DRAINING)
        self.in_work += 1
        context.add_done_callback(self._note_end)
        call = _Call(context, self._probes_arriving if path in PROBES else self._arriving)
        await self._app(_scope(path, context), call.receive, call.send)
        trailing_metadata = tuple((name.decode(), value.decode()) for name, value in call.headers if name in _REPLIED)
        if call.status != 200:
            await context.abort(CODES[call.status], b"".join(call.body).decode(), trailing_metadata)
        context.set_trailing_metadata(trailing_metadata)
        return b"".join(call.body)

    def _note_end(self, _context: object) -> None:
        self.in_work -= 1


class _Call:
    """The `receive` and `send` of one call."""

    __slots__ = ("_arriving", "_context", "_parts_received", "body", "headers", "status")

    def __init__(self, context: Any, arriving: asyncio.Semaphore) -> None:
        self._context = context
        self._arriving = arriving
        self._parts_received = 0
        self.status = CLIENT_CLOSED_REQUEST
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []

    async def receive(self) -> Message:
        self._parts_received += 1
        if self._parts_received == 1:
            # As our HTTP server does it: the application's time limit then covers a message that never begins.
            return {"type": "http.request", "body": b"", "more_body": True}
        if self._parts_received > 2:
            # The application waits for a disconnect. grpcio cancels the whole task when the client leaves.
            await asyncio.get_running_loop().create_future()
        async with self._arriving:
            message = await self._context.read()
        if message is grpc.aio.EOF:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": message}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        if "body" in message:
            self.body.append(message["body"])


def _scope(path: str, context: Any) -> Scope:
    """Return the ASGI scope of a call."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "2",
        "scheme": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (name.encode(), value if isinstance(value, bytes) else value.encode())
            for name, value in context.invocation_metadata()
        ],
        "client": _client(context.peer()),
    }


def _client(peer: str) -> tuple[str, int] | None:
    """Return address and port of a peer such as `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    family, _, address = unquote(peer).partition(":")
    if family not in ("ipv4", "ipv6"):
        return None
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
