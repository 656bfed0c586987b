"""Answer each gRPC call with the same keys, accounting and errors as an HTTP request."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import grpc
from grpc import StatusCode
from opentelemetry.trace import SpanKind, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import errors
from app.api.grpc.arrivals import Arrivals, InTurn
from app.api.grpc.wire import parse_message
from app.asgi.service import Service
from app.errors import Abandoned, BodyTooLarge, NotOffered
from app.inference.data_plane import DataPlane
from app.inference.memory_budget import Reservation
from app.input.body import SHORT_BODY_BYTES, BatchT, parse
from app.telemetry import tracing
from app.telemetry.access_log import PROBES, CompletedRequest
from app.telemetry.accounting import CLIENT_CLOSED_REQUEST
from digits.model.artifact import ModelId

CODES: dict[int, StatusCode] = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    404: StatusCode.NOT_FOUND,
    408: StatusCode.DEADLINE_EXCEEDED,
    413: StatusCode.INVALID_ARGUMENT,  # RESOURCE_EXHAUSTED would mean that the same call may succeed later
    415: StatusCode.INVALID_ARGUMENT,
    422: StatusCode.INVALID_ARGUMENT,
    CLIENT_CLOSED_REQUEST: StatusCode.CANCELLED,
    500: StatusCode.INTERNAL,
    501: StatusCode.UNIMPLEMENTED,
    503: StatusCode.UNAVAILABLE,  # the code that clients try again
}
"""By the HTTP status that an error has elsewhere. The others concern the head of an HTTP/1.1 request and its method."""

MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # gRPC's own default; `MNIST_MAX_BODY_BYTES` applies if it is smaller
SHORT_MESSAGE_BYTES = 4096  # the limit for a message without pictures


@dataclass(slots=True)
class Answer:
    message: Any
    model: ModelId | None = None
    """The model version that answered. It is also sent as trailing metadata."""
    batch: int | None = None
    """Number of pictures in the forward pass that answered."""


class Call:
    """The messages of one gRPC call."""

    def __init__(self, context: Any, arrivals: Arrivals) -> None:
        self._context = context
        self._arrivals = arrivals

    async def read(self) -> bytes:
        """Return the whole message. Raises SlowBody, and Abandoned if the client sends none."""
        async with self._arrivals.turn():
            message = await self._context.read()
        if message is grpc.aio.EOF:
            raise Abandoned
        return bytes(message)

    async def read_as(self, kind: Any) -> Any:
        """Return a short message of this class. Raises BodyTooLarge, MalformedBody, SlowBody and Abandoned."""
        content = await self.read()
        if len(content) > SHORT_MESSAGE_BYTES:
            raise BodyTooLarge(f"expected a message of at most {SHORT_MESSAGE_BYTES} bytes, received {len(content)}")
        return parse_message(kind, content)

    async def read_pictures(
        self, parser: Callable[[bytes], BatchT], data_plane: DataPlane, memory: Reservation
    ) -> BatchT:
        """Return the whole message as pictures. Raises NoRoom, Overloaded, and what `read` and the parser raise."""
        content = await self.read()
        if len(content) > SHORT_BODY_BYTES:
            memory.reserve(len(content))
        pictures = await parse(data_plane.decode_threads, parser, content)
        pictures.memory = memory
        return pictures


Handler = Callable[[Call], Awaitable[Answer]]
"""Answers one call. Any DigitsError that it raises becomes the call's status."""


class Calls(grpc.GenericRpcHandler):  # type: ignore[misc] # grpcio has no types
    """Answers every call of some services, also calls of methods that these services lack."""

    def __init__(self, service: Service, handlers: Mapping[str, Handler], probes: Arrivals) -> None:
        """Answer the calls of all services in the paths of the handlers, `/package.Service/Method`."""
        self._service = service
        self._handlers = handlers
        self._prefixes = tuple({f"{path.rpartition('/')[0]}/" for path in handlers})
        self._inference = InTurn()
        self._probes = probes

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call, or None for another service's."""
        path: str = handler_call_details.method
        if not path.startswith(self._prefixes):
            return None

        async def answer(_messages: object, context: Any) -> bytes:
            provider = self._service.tracer_provider
            if provider is None or path in PROBES:
                return await self._answer(path, context)
            parent = TraceContextTextMapPropagator().extract(dict(context.invocation_metadata()))
            span = get_tracer("digits", tracer_provider=provider).start_as_current_span(
                path, parent, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
            )
            with span:
                return await self._answer(path, context)

        # Declared as a stream of requests, so that a call can be refused before its message is read. Both kinds look
        # the same on the wire.
        return grpc.stream_unary_rpc_method_handler(answer)

    async def _answer(self, path: str, context: Any) -> bytes:
        handler = self._handlers.get(path)
        headers = [
            (name.encode(), value if isinstance(value, bytes) else value.encode())
            for name, value in context.invocation_metadata()
        ]
        # In HTTP/2, a call is a POST request.
        route = path if handler else None
        request = CompletedRequest("grpc", "POST", path, path.encode(), _address(context.peer()), route=route)
        self._service.accounting.begin(request, headers)
        request.status = CLIENT_CLOSED_REQUEST
        metadata = [("x-request-id", request.request_id.decode())]
        detail = ""
        try:
            request.key_name = self._service.keys.key_name(path, headers)
            self._service.check_load(path)
            if handler is None:
                raise NotOffered(f"{path[:80]} is not offered by this server")
            reply = await handler(Call(context, self._probes if path in PROBES else self._inference))
        except Abandoned:
            pass
        except Exception as exc:  # noqa: BLE001 - an exception that is not a DigitsError is a bug, and answered as a 500
            self._service.accounting.record_error(request, exc)
            request.status, detail, _ = errors.describe(exc)
        else:
            request.status, request.batch, request.model = 200, reply.batch, reply.model
            content: bytes = reply.message.SerializeToString()
            request.size = len(content)
            if reply.model is not None:
                metadata += [("x-model-version", str(reply.model.version)), ("x-model-graph", reply.model.graph)]
            context.set_trailing_metadata(tuple(metadata))
            return content
        finally:
            request.size = request.size or len(detail.encode())
            tracing.describe(request)
            self._service.accounting.end(request)
        await context.abort(CODES[request.status], detail, tuple(metadata))
        raise AssertionError  # `abort` has raised


def _address(peer: str) -> str | None:
    """Return the address of a peer such as `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    family, _, address = unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]") if family in ("ipv4", "ipv6") else None
