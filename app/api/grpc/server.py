"""The gRPC server of one process. It shares the event loop, the models and the batches with the HTTP server."""

import asyncio
import time

import grpc
from grpc_health.v1 import health_pb2  # noqa: F401 - registers the service that reflection describes
from grpc_reflection.v1alpha import reflection
from starlette.routing import Route
from starlette.types import ASGIApp

from app.api.grpc.calls import Calls
from app.api.grpc.codes import error_response
from app.api.grpc.handlers import SERVICE, InferenceService, not_offered
from app.api.grpc.health import CHECK, HEALTH_SERVICE, Health
from app.asgi.dispatcher import Dispatcher
from app.asgi.endpoint import Endpoint
from app.asgi.in_work import RequestsInWork
from app.settings import Settings

SERVICES = (SERVICE, HEALTH_SERVICE)

_IDLE_MILLISECONDS = 300_000
"""How long a connection without calls stays open. Clients connect again by themselves."""

_POLL_SECONDS = 0.01


def call_router(service: InferenceService, health: Health, in_work: RequestsInWork) -> Dispatcher:
    """Return the application that answers the calls of all services."""
    # Probes do not count as requests in work, so this limit is never reached.
    unlimited = RequestsInWork(1)
    probes = service.probes() | {CHECK: health.check}
    return Dispatcher(
        [
            *(Route(path, Endpoint({"POST": call}, in_work, error_response)) for path, call in service.calls().items()),
            *(Route(path, Endpoint({"POST": probe}, unlimited, error_response)) for path, probe in probes.items()),
        ],
        {},
        default=Endpoint({"POST": not_offered}, in_work, error_response),
    )


class GrpcServer:
    """Answers the calls of both services on one port, which the workers of the service share."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Answer calls with `app`. `start` opens the port."""
        self._calls = Calls(app, SERVICES)
        self._settings = settings
        self.port = settings.grpc_port or 0
        """The port. 0 before `start` if the system chooses it."""

    async def start(self) -> None:
        """Listen, and answer calls from now on.

        Raises:
            SystemExit: the address is not available, or the certificate cannot be used.
        """
        settings = self._settings
        server = grpc.aio.server(
            options=(
                ("grpc.so_reuseport", 1),
                ("grpc.max_receive_message_length", settings.max_body_bytes),
                ("grpc.max_connection_idle_ms", _IDLE_MILLISECONDS),
                # Otherwise grpcio holds several MB of each message that waits, when the network is fast.
                ("grpc.http2.bdp_probe", 0),
            )
        )
        server.add_generic_rpc_handlers((self._calls,))
        if settings.docs:
            reflection.enable_server_reflection((*SERVICES, reflection.SERVICE_NAME), server)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        address = f"{host}:{settings.grpc_port}"
        try:
            if settings.grpc_tls_cert and settings.grpc_tls_key:
                pair = settings.grpc_tls_key.read_bytes(), settings.grpc_tls_cert.read_bytes()
                self.port = server.add_secure_port(address, grpc.ssl_server_credentials((pair,)))
            else:
                self.port = server.add_insecure_port(address)
        except (OSError, RuntimeError) as exc:
            raise SystemExit(f"digits: cannot listen for gRPC on {address}: {exc}") from None
        await server.start()
        self._server = server

    async def stop(self, seconds: float) -> None:
        """Refuse new calls with UNAVAILABLE, and give the calls in work this long to finish.

        The server itself is not shut down, and its connections end with the process. grpcio's shutdown would end the
        calls that are just arriving with CANCELLED, which clients do not try again.
        """
        self._calls.refuses = True
        deadline = time.monotonic() + seconds
        while self._calls.in_work and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
