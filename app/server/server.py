"""A uvicorn server that drains before it stops, so that a rollout loses no request.

1. At the first SIGTERM or SIGINT, `/readyz` answers 503. The service still answers requests for
   `MNIST_DRAIN_SECONDS`, in which load balancers stop sending new ones.
2. The kernel drops new connection attempts. The server accepts the connections that wait in the kernel's queue, for
   `QUEUE_SECONDS`. Then it closes the listener. A worker has no listener: its supervisor does this, and then tells the
   worker that no more connections follow (`app.server.handover`).
3. The server finishes the requests and gRPC calls in progress, for at most `FINISH_SECONDS`, and ends with exit code 0.

A second signal ends a single process immediately. A worker ignores it, and its supervisor kills it. uvicorn's own
server skips steps 1 and 2, and at the end raises the signal again.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from app.server.handover import ALIVE, SupervisorLink
from app.server.listener import QUEUE_SECONDS, drop_connection_attempts
from app.server.protocol import HttpProtocol
from app.server.state import State
from app.settings import Settings
from app.telemetry import logs

if TYPE_CHECKING:
    from fastapi import FastAPI

    from app.asgi.service import Service

KEEP_ALIVE_SECONDS = 65
"""How long idle connections stay open.

Usual proxies close them after 60 s. If the server closed first, it could lose a request that the proxy just sent.
"""

FINISH_SECONDS = 20
"""How long requests may take after the listener has closed. With 5 s of draining, this fits Kubernetes' usual 30 s."""

_ALONE_SECONDS = 5
"""How much later a worker stops if only the worker got the signal, and its supervisor does not stop."""


class Server(uvicorn.Server):
    """The server of one process."""

    def __init__(self, app: "FastAPI", settings: Settings, supervisor: SupervisorLink | None = None) -> None:
        """Configure the server. `run` starts it.

        Args:
            app: the application that answers requests, with `state.service`.
            settings: tells how long to drain.
            supervisor: hands connections to this worker. None without a supervisor.
        """
        super().__init__(
            uvicorn.Config(
                cast(Any, app),
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
        self.server_state.refused = app.state.service.accounting.refused
        self._service: Service = app.state.service
        self._drain_seconds = settings.drain_seconds
        self._drain_deadline: float | None = None
        """When the drain ends, in seconds of `time.monotonic`; None before the first signal."""
        self._supervisor = supervisor

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Drain at SIGTERM and SIGINT. In a worker, SIGINT is blocked (`app.server.supervisor`)."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
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
        self._service.drain()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then accept connections from the sockets or from the supervisor."""
        await super().startup([])
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
        # The application's lifespan waits for the end of the calls, after the requests have ended.
        stopping = self._service.grpc_server and asyncio.create_task(self._service.grpc_server.stop())
        if sockets:
            await asyncio.sleep(QUEUE_SECONDS)
        await super().shutdown(sockets)
        if stopping:
            await stopping
