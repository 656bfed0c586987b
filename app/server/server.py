"""A uvicorn server that drains before it stops, so that a rollout loses no request.

1. At the first SIGTERM or SIGINT, `/readyz` answers 503. The service still answers requests for
   `MNIST_DRAIN_SECONDS`, in which load balancers stop sending new ones.
2. The kernel drops new connection attempts. The server accepts the connections that wait in the kernel's queue, for
   `QUEUE_SECONDS`. Then it closes the listener. A worker has no listener: its supervisor does this, and then tells the
   worker that no more connections follow (`app.server.handover`).
3. The server finishes the requests in progress, for at most `FINISH_SECONDS`, and ends with exit code 0. It answers new
   gRPC calls on connections that exist for `CALL_SECONDS`, and then refuses them.

A second signal ends the process immediately. uvicorn's own server skips steps 1 and 2, and at the end raises the signal
again.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Protocol

import uvicorn
from starlette.types import Receive, Scope, Send

from app.asgi.companion import GrpcServer
from app.server.handover import ALIVE, SupervisorLink
from app.server.library_listener import LibraryListener
from app.server.listener import QUEUE_SECONDS, drop_connection_attempts
from app.server.protocol import HttpProtocol
from app.server.state import State
from app.settings import Settings
from app.telemetry import logs

KEEP_ALIVE_SECONDS = 65
"""How long idle connections stay open.

Usual proxies close them after 60 s. If the server closed first, it could lose a request that the proxy just sent.
"""

FINISH_SECONDS = 20
"""How long requests may take after the listener has closed. With 5 s of draining, this fits Kubernetes' usual 30 s."""

CALL_SECONDS = 3
"""How long gRPC calls are answered after the listener has closed, while clients are connected.

HTTP replies close their connections, but grpcio cannot ask clients to leave. nginx cannot repeat a call, so it needs
time to stop using its connections (`keepalive_time` in `deploy/proxy/nginx.conf`).
"""

_ALONE_SECONDS = 5
"""How much later a worker stops if only the worker got the signal, and its supervisor does not stop."""


class Drainable(Protocol):
    """An ASGI application that learns from `drain` that the service stops."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

    def drain(self) -> None:
        """Report that the service is not ready, and keep answering requests."""

    @property
    def grpc_server(self) -> GrpcServer | None:
        """The gRPC server of this process, or None without gRPC."""


class Server(uvicorn.Server):
    """The server of one process."""

    def __init__(self, app: Drainable, settings: Settings, supervisor: SupervisorLink | None = None) -> None:
        """Configure the server. `run` starts it.

        Args:
            app: the application that answers requests.
            settings: tells how long to drain.
            supervisor: hands connections to this worker. None without a supervisor.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws="none",
                access_log=False,  # `app.telemetry.access_log` writes one
                proxy_headers=False,  # `app.asgi.middleware` reads them
                server_header=False,  # clients need not know that this is uvicorn
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=FINISH_SECONDS,
            )
        )
        if logs.format_in_use(settings.log_format) == "json":
            for handler in logging.getLogger("uvicorn").handlers:
                handler.setFormatter(logs.JsonFormatter())
        self.server_state: State = State()
        self.server_state.supervisor = supervisor
        self._app = app
        self._drain_seconds = settings.drain_seconds
        self._drain_deadline: float | None = None
        """When the drain ends, in seconds of `time.monotonic`; None before the first signal."""
        self._supervisor = supervisor

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain at SIGTERM and SIGINT. A terminal sends SIGINT to workers too, which ignore it: the supervisor acts."""
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGINT, self.handle_exit if self._supervisor is None else signal.SIG_IGN)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal handlers get a frame
        """Start to drain. A second signal ends the process, unless it is a worker: its supervisor kills it."""
        if self._drain_deadline is not None:
            if self._supervisor is None:
                os._exit(128 + sig)
            return
        self._drain(self._drain_seconds + (_ALONE_SECONDS if self._supervisor is not None else 0))

    def _drain(self, seconds: float) -> None:
        """Report that the service is not ready, and stop after this time."""
        self._drain_deadline = time.monotonic() + seconds
        self.server_state.draining = True
        self._app.drain()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal stops the process.

        A process with gRPC ends here, without the cleanup of the event loop and the interpreter. Its gRPC server still
        runs (`app.api.grpc.server`). The event loop would cancel the calls that are just arriving, and clients do not
        try again after `CANCELLED`. After a lost connection they do.
        """
        await super().serve(sockets)
        if self._app.grpc_server is not None:
            sys.stderr.flush()
            os._exit(0)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the application, then accept gRPC connections, then those from the sockets or from the supervisor."""
        await super().startup([])
        # First, so that a service that is ready over HTTP takes gRPC calls too.
        if self._app.grpc_server is not None:
            await self._app.grpc_server.start()
        for listener in sockets or []:
            self.servers.append(
                await asyncio.get_running_loop().create_server(
                    self._create_protocol, sock=listener, backlog=self.config.backlog
                )
            )
        if self._supervisor is not None:
            self._supervisor.start(self._create_protocol, finish=lambda: self._drain(0))

    def _create_protocol(self) -> HttpProtocol:
        return HttpProtocol(self.config, self.server_state, self.lifespan.state)

    async def on_tick(self, counter: int) -> bool:
        """Return whether to stop, and report to the supervisor once a second. uvicorn calls this ten times a second."""
        await super().on_tick(counter)
        if counter % 10 == 0 and self._supervisor is not None:
            self._supervisor.report(ALIVE)
        return self._drain_deadline is not None and time.monotonic() >= self._drain_deadline

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, and finish the requests in progress."""
        if self._supervisor is not None:
            self._supervisor.stop()
        for listener in sockets or []:
            drop_connection_attempts(listener)
        if self._app.grpc_server is not None:
            began = time.monotonic()
            await self._stop_grpc(self._app.grpc_server)
            # HTTP requests went on meanwhile, so they have only the rest of the time.
            self.config.timeout_graceful_shutdown = max(1, FINISH_SECONDS - round(time.monotonic() - began))
        elif sockets:
            await asyncio.sleep(QUEUE_SECONDS)
        await super().shutdown(sockets)

    async def _stop_grpc(self, grpc_server: GrpcServer) -> None:
        """Accept no more gRPC connections, answer calls on those that exist for a while, and finish all calls."""
        deadline = time.monotonic() + FINISH_SECONDS
        listener = LibraryListener(grpc_server.port)
        listener.drop_connection_attempts()
        await asyncio.sleep(QUEUE_SECONDS)
        listener.close()
        for server in self.servers:
            server.close()
        refusal = time.monotonic() + CALL_SECONDS
        while listener.has_connections() and time.monotonic() < refusal:
            await asyncio.sleep(0.1)
        await grpc_server.stop(deadline - time.monotonic())
