"""uvicorn's server, which drains before it stops: a rollout loses no request.

At the first signal `/readyz` says so at once, while requests are served on for `MNIST_DRAIN_SECONDS`, in which a load
balancer looks elsewhere. Then no connection is taken any more, what is in work is finished, and the exit code is 0. A
second signal ends it now. (uvicorn's own closes at once, and raises the signal again when it is done.)
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from types import FrameType
from typing import Protocol

import uvicorn
from starlette.types import Receive, Scope, Send

from app.server.listener import refuse_connections
from app.server.protocol import HttpProtocol
from app.server.state import State
from app.settings import Settings

KEEP_ALIVE_SECONDS = 65
"""Longer than the 60 s after which usual proxies close an idle connection: who closes first loses no request."""

FINISH_SECONDS = 20
"""For what is in work when the listener closes. With 5 s of draining it fits the 30 s that Kubernetes waits."""

_QUEUE_SECONDS = 0.1
"""In which the connections that the kernel has queued are taken, before the listener closes."""


class Drainable(Protocol):
    """An ASGI application that can be told that the service stops."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

    def drain(self) -> None:
        """Report that the service is not ready, and keep answering requests."""


class Server(uvicorn.Server):
    """One process' server."""

    def __init__(self, app: Drainable, settings: Settings, supervisor: Connection | None = None) -> None:
        """Not yet listening.

        Args:
            app: what answers.
            settings: how long to drain.
            supervisor: where to say that this worker lives, once a second; None without workers.
        """
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws="none",
                access_log=False,  # `app.telemetry.access_log` has one
                proxy_headers=False,
                server_header=False,  # a client need not know that it is uvicorn
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=FINISH_SECONDS,
            )
        )
        self.server_state: State = State(settings)
        self._app = app
        self._drain_seconds = settings.drain_seconds
        self._ends: float | None = None
        self._supervisor = supervisor

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT drain; a worker leaves Ctrl-C, which a terminal sends to all, to its supervisor."""
        signal.signal(signal.SIGTERM, self.handle_exit)
        signal.signal(signal.SIGINT, self.handle_exit if self._supervisor is None else signal.SIG_IGN)
        yield

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - what a signal handler is given
        """Drain, or end now if it is the second signal. To a worker only its supervisor says that."""
        if self._ends is not None:
            if self._supervisor is None:
                os._exit(128 + sig)
            return
        self._ends = time.monotonic() + self._drain_seconds
        self.server_state.draining = True
        self._app.drain()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop."""
        await super().on_tick(counter)
        if counter % 10 == 0 and self._supervisor is not None:
            try:
                self._supervisor.send_bytes(b".")
            except OSError:  # the supervisor is gone: nobody would end this worker
                if self._ends is None:
                    self.handle_exit(signal.SIGTERM, None)
        return self._ends is not None and time.monotonic() >= self._ends

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, finish what is in work."""
        if self._supervisor is None:
            for listener in sockets or []:
                refuse_connections(listener)
        await asyncio.sleep(_QUEUE_SECONDS)
        await super().shutdown(sockets)
