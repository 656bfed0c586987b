"""The parts of other packages that we override, or that are private, are as the code expects them."""

import asyncio
import inspect
import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import fastapi
import fastapi.routing
import prometheus_client
import prometheus_client.multiprocess
import pytest
import starlette.routing
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

PARAMETERS: list[tuple[str, Any, str, str]] = [
    ("uvicorn", uvicorn.Server, "__init__", "self, config"),
    ("uvicorn", uvicorn.Server, "capture_signals", "self"),
    ("uvicorn", uvicorn.Server, "handle_exit", "self, sig, frame"),
    ("uvicorn", uvicorn.Server, "serve", "self, sockets=None"),
    ("uvicorn", uvicorn.Server, "startup", "self, sockets=None"),
    ("uvicorn", uvicorn.Server, "on_tick", "self, counter"),
    ("uvicorn", uvicorn.Server, "shutdown", "self, sockets=None"),
    ("uvicorn", HttpToolsProtocol, "__init__", "self, config, server_state, app_state, _loop=None"),
    ("uvicorn", HttpToolsProtocol, "connection_made", "self, transport"),
    ("uvicorn", HttpToolsProtocol, "connection_lost", "self, exc"),
    ("uvicorn", HttpToolsProtocol, "data_received", "self, data"),
    ("uvicorn", HttpToolsProtocol, "on_message_begin", "self"),
    ("uvicorn", HttpToolsProtocol, "on_headers_complete", "self"),
    ("uvicorn", HttpToolsProtocol, "on_response_complete", "self"),
    ("uvicorn", HttpToolsProtocol, "pause_writing", "self"),
    ("uvicorn", HttpToolsProtocol, "resume_writing", "self"),
    ("uvicorn", HttpToolsProtocol, "timeout_keep_alive_handler", "self"),
    ("uvicorn", HttpToolsProtocol, "shutdown", "self"),
    ("uvicorn", HttpToolsProtocol, "_should_upgrade", "self"),
    ("uvicorn", HttpToolsProtocol, "_start_asgi_task", "self, cycle, app"),
    ("uvicorn", HttpToolsProtocol, "_unset_keepalive_if_required", "self"),
    ("uvicorn", RequestResponseCycle, "send", "self, message"),
    ("fastapi", fastapi.FastAPI, "build_middleware_stack", "self"),
    ("fastapi", fastapi.FastAPI, "openapi", "self"),
    ("fastapi", fastapi.APIRouter, "app", "self, scope, receive, send"),
    ("fastapi", fastapi.routing.APIRoute, "matches", "self, scope"),
    ("fastapi", fastapi.routing.APIRoute, "handle", "self, scope, receive, send"),
    ("starlette", starlette.routing.Router, "not_found", "self, scope, receive, send"),
    ("prometheus-client", prometheus_client.multiprocess.MultiProcessCollector, "merge", "files, accumulate=True"),
    ("prometheus-client", prometheus_client.multiprocess, "mark_process_dead", "pid, path=None"),
]


def make_protocol() -> HttpToolsProtocol:
    async def app(scope: object, receive: object, send: object) -> None: ...

    protocol = HttpToolsProtocol(uvicorn.Config(app, log_config=None), ServerState(), {}, asyncio.new_event_loop())
    protocol.on_message_begin()
    protocol.loop.close()
    return protocol


def make_cycle() -> RequestResponseCycle:
    log = logging.getLogger()
    unused: Any = None
    return RequestResponseCycle({}, unused, unused, log, log, False, [], unused, False, True, unused)  # type: ignore[typeddict-item]


ATTRIBUTES: list[tuple[str, Callable[[], object], str]] = [
    ("uvicorn", ServerState, "connections default_headers tasks total_requests"),
    ("uvicorn", make_protocol, "app cycle flow headers loop parser pipeline scope server_state timeout_keep_alive"),
    ("uvicorn", make_protocol, "timeout_keep_alive_task transport url"),
    ("uvicorn", make_cycle, "disconnected keep_alive message_event more_body on_response response_complete"),
    ("uvicorn", make_cycle, "response_started scope"),
    ("fastapi", lambda: fastapi.FastAPI().router, "default redirect_slashes route_class routes"),
    ("prometheus-client", lambda: prometheus_client.Histogram("a", "b", registry=None), "_sum _buckets _upper_bounds"),
]


@pytest.mark.parametrize(
    ("package", "owner", "name", "parameters"),
    [pytest.param(*row, id=f"{row[1].__name__}.{row[2]}") for row in PARAMETERS],
)
def test_a_function_has_the_expected_parameters(package: str, owner: Any, name: str, parameters: str) -> None:
    label = f"{package} {version(package)}: {owner.__name__}.{name}"
    assert hasattr(owner, name), f"{label} is missing"

    signature = inspect.signature(getattr(owner, name))
    found = ", ".join(str(one.replace(annotation=inspect.Parameter.empty)) for one in signature.parameters.values())

    assert found == parameters, f"{label}({found}) has another signature"


@pytest.mark.parametrize(("package", "make", "names"), ATTRIBUTES)
def test_an_object_has_the_expected_attributes(package: str, make: Callable[[], object], names: str) -> None:
    found = make()

    for name in names.split():
        assert hasattr(found, name), f"{package} {version(package)}: {type(found).__name__}.{name} is missing"
