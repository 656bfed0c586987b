"""The route class of all endpoints: FastAPI's declarations and documentation, without its work for each request.

A usual FastAPI route solves dependencies, validates its parameters and serializes its reply. A JSON request then takes
146 us of processor time, and 109 us with this class (docs/decisions/0039). Here an endpoint takes

- the request, as a `ServiceRequest`,
- the path parameters that it names, as text,
- one pydantic model of the query parameters, named `query` and declared with `Annotated[Model, Query()]`,

and returns a response. FastAPI makes the OpenAPI document from the same declaration. An endpoint that declares anything
else, such as a body, is refused when it is added. `DirectRoute` overrides two public methods, `matches` and `handle`.
"""

import inspect
from collections.abc import Callable, Iterable
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, get_type_hints
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from app.errors import InvalidQuery, WrongMethod
from app.inference.memory_budget import Reservation
from app.telemetry.access_log import REQUEST, CompletedRequest
from digits.model.artifact import ModelId

if TYPE_CHECKING:
    from app.asgi.service import Service

ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]

JSON = ((b"content-type", b"application/json"),)
NOSNIFF = (b"x-content-type-options", b"nosniff")

CONNECTION = "digits.connection"
"""The key of ASGI's state for the `app.server.connection.Connection` of a request."""

_MAX_PATH = 4096  # from this length on, a path matches no route: two variables in a pattern take quadratic time
_MAX_QUERY_BYTES = 1000

PART_BYTES = 64 * 1024
"""Longer replies are sent in parts, and count in the memory budget until the client has taken them."""


class ServiceRequest(Request):
    """A request that knows the service that answers it."""

    @property
    def service(self) -> "Service":
        service: Service = self.scope["app"].service
        return service


class Reply(Response):
    """A reply that is complete when it is sent, JSON unless its headers say otherwise."""

    def __init__(
        self,
        body: bytes,
        model: ModelId | None = None,
        batch: int | None = None,
        status_code: int = 200,
        headers: Iterable[tuple[bytes, bytes]] = JSON,
    ) -> None:
        """Create a reply with the headers of the version that answered. `batch` pictures were in its pass."""
        self.body = body
        self.model = model
        self.batch = batch
        self.status_code = status_code
        # A JSON reply needs only one security header: no browser renders it, and each header costs 0.4 us.
        self.raw_headers = [*headers, (b"content-length", b"%d" % len(body)), NOSNIFF]
        if model is not None:
            self.raw_headers += _model_headers(model)

    @classmethod
    def of(cls, content: Any, model: ModelId | None = None, batch: int | None = None, *, status: int = 200) -> "Reply":
        """Encode content as JSON. A float32 has the fewest digits that read back as the same float32."""
        return cls(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY), model, batch, status)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the reply. Raises NoRoom if a long one finds no memory."""
        request: CompletedRequest = scope[REQUEST]
        request.batch, request.model = self.batch, self.model
        if len(self.body) <= PART_BYTES:
            await self._send(send)
            return
        with Reservation(scope["app"].service.data_plane.memory_budget) as memory:
            memory.reserve(len(self.body))
            await self._send(send)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


@cache
def _model_headers(model: ModelId) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of a version. A process loads few versions, so few are kept."""
    return (b"x-model-version", b"%d" % model.version), (b"x-model-graph", model.graph.encode())


class DirectRoute(APIRoute):
    """Calls its endpoint and sends the response. HEAD is answered as GET is."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add an endpoint. Raises TypeError if it takes something else than this module says."""
        # Generated clients use the name of the route's function as the name of a function or a method.
        options["generate_unique_id_function"] = attrgetter("name")
        super().__init__(path, endpoint, **options)
        hints, parameters = get_type_hints(endpoint), [*inspect.signature(endpoint).parameters]
        self._path_parameters = [name for name in parameters if name in self.param_convertors]
        takes_request = [hints.get(name) for name in parameters[:1]] == [ServiceRequest]
        is_known = {*parameters[1:]} <= {"query", *self._path_parameters}
        if not (takes_request and is_known) or self.dependencies:
            raise TypeError(f"{path}: expected a ServiceRequest, path parameters and a query, received {parameters}")
        self._query: type[BaseModel] | None = hints.get("query")
        self._no_query = self._query() if self._query is not None else None
        assert self.methods is not None
        self._accepted = self.methods | {"HEAD"} if "GET" in self.methods else self.methods

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the path matches, and the method. `RequestMiddleware` has removed any prefix from it."""
        if len(scope["path"]) >= _MAX_PATH:
            return Match.NONE, {}
        # `match` would accept a line break at the end.
        found = self.path_regex.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            return Match.NONE, {}
        match = Match.FULL if scope["method"] in self._accepted else Match.PARTIAL
        return match, {"route": self, "path_params": found.groupdict()}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises WrongMethod, Overloaded, InvalidQuery, and what the endpoint raises."""
        scope[REQUEST].route = self.path
        if scope["method"] not in self._accepted:
            raise WrongMethod(scope["method"], ", ".join(sorted(self._accepted)))
        scope["app"].service.check_load(scope["path"])
        arguments: dict[str, Any] = {}
        for name in self._path_parameters:
            arguments[name] = scope["path_params"][name]
        if self._query is not None:
            given = scope["query_string"]
            arguments["query"] = parse_query(self._query, given) if given else self._no_query
        response: Response = await self.endpoint(ServiceRequest(scope, receive), **arguments)
        await response(scope, receive, send)


def direct_router(tag: str) -> APIRouter:
    """Return a router for the endpoints of one group of the API documentation."""
    return APIRouter(tags=[tag], route_class=DirectRoute)


def parse_query(model: type[BaseModel], query_string: bytes) -> BaseModel:
    """Return the query parameters as a model. Raises InvalidQuery."""
    if len(query_string) > _MAX_QUERY_BYTES:
        raise InvalidQuery(f"expected a query of at most {_MAX_QUERY_BYTES} bytes, received {len(query_string)}")
    given = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    parameters = dict(given)
    if len(parameters) < len(given):
        raise InvalidQuery("expected each query parameter once, received one of them again")
    try:
        return model.model_validate(parameters)
    except ValidationError as exc:
        first = exc.errors()[0]
        message = f"{first['msg'].removeprefix('Value error, ')}, received {str(first['input'])[:40]!r}"
        if first["type"] == "extra_forbidden":
            *known, last = model.model_fields
            message = f"unknown; known are {', '.join(known)} and {last}"
        raise InvalidQuery(f"query parameter {str(first['loc'][0])[:40]!r}: {message}") from exc
