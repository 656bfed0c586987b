"""Several server processes on one listening socket: who dies or hangs is replaced, who is to stop drains.

Not uvicorn's supervisor: that cannot be given another server, does not notice an event loop that hangs (a thread
answers for it), and hears no second signal while it waits for workers that finish.
"""

import logging
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from types import FrameType

from app.server.listener import refuse_connections
from app.server.server import FINISH_SECONDS
from app.settings import Settings
from app.telemetry import logs, shared_metrics

SILENT_SECONDS = 30
"""A worker whose event loop has not turned for so long is replaced; nothing holds one up for a hundredth of it."""

START_SECONDS = 120
"""The same for one that starts, which takes about one."""

_log = logging.getLogger(__name__)


Serve = Callable[[Settings, socket.socket, Connection], None]
"""What a worker process runs: it serves on the listener until a signal ends it and
reports once a second that it lives."""


class _Worker:
    """A server process, and what was last heard of it."""

    def __init__(self, serve: Serve, settings: Settings, listener: socket.socket) -> None:
        # Spawned, not forked: ONNX Runtime's threads would not survive a fork.
        spawn = get_context("spawn")
        self.pulse, theirs = spawn.Pipe(duplex=False)
        self.process = spawn.Process(target=serve, args=(settings, listener, theirs))
        self.process.start()
        theirs.close()  # so that the pipe ends when the worker does
        self.started = False
        self.silent_seconds = 0.0

    def hear(self) -> None:
        """Take in what it has said."""
        with suppress(EOFError, OSError):
            while self.pulse.poll():
                self.pulse.recv_bytes()
                self.started, self.silent_seconds = True, 0.0


class Supervisor:
    """The supervisor of so many as the settings say."""

    def __init__(self, serve: Serve, settings: Settings, listener: socket.socket) -> None:
        """Supervise workers that run `serve`. No worker is started yet."""
        self._serve = serve
        self._settings = settings
        self._listener = listener
        self._workers: list[_Worker] = []
        self._signals: list[int] = []
        self._awake, self._waker = socket.socketpair()

    def run(self) -> int:
        """Serve until a signal ends it; the exit code."""
        logs.configure()
        for end in (self._awake, self._waker):
            end.setblocking(False)
        signal.set_wakeup_fd(self._waker.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with shared_metrics.shared_folder():
            self._workers = [
                _Worker(self._serve, self._settings, self._listener) for _ in range(self._settings.workers)
            ]
            while not self._signals and self._replace():
                self._wait(1, *(worker.pulse for worker in self._workers))
            return self._stop()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _wait(self, seconds: float, *also: Connection) -> None:
        """Until something happens, at most so long."""
        began = time.monotonic()
        alive = [worker.process.sentinel for worker in self._workers if worker.process.is_alive()]
        if not alive:  # who was killed just now may be gone already, and nothing else would happen
            return
        connection.wait([self._awake, *alive, *also], seconds)
        with suppress(BlockingIOError):
            self._awake.recv(100)
        # No more than that: if all of it was stopped meanwhile, as a container can be, no worker is to blame.
        passed = min(time.monotonic() - began, seconds)
        for worker in self._workers:
            worker.silent_seconds += passed
            worker.hear()

    def _replace(self) -> bool:
        """Replace those that ended or hang; False when not even the first got as far as serving."""
        for index, worker in enumerate(self._workers):
            pid = worker.process.pid
            if worker.silent_seconds > (SILENT_SECONDS if worker.started else START_SECONDS):
                _log.error("worker %d has said nothing for %d s and is ended", pid, worker.silent_seconds)
                worker.process.kill()
                worker.process.join()
            if worker.process.is_alive():
                continue
            worker.hear()
            if not any(other.started for other in self._workers):
                _log.error("worker %d ended with %s before it served", pid, worker.process.exitcode)
                return False
            _log.error("worker %d ended with %s; another takes its place", pid, worker.process.exitcode)
            worker.pulse.close()
            shared_metrics.forget_worker(pid)
            self._workers[index] = _Worker(self._serve, self._settings, self._listener)
        return True

    def _stop(self) -> int:
        """Have all of them drain, at the same time; a second signal ends them now."""
        for worker in self._workers:
            worker.process.terminate()
        drained = time.monotonic() + self._settings.drain_seconds
        given_up = drained + FINISH_SECONDS + 5
        while self._alive():
            left = drained - time.monotonic()
            if left <= 0 and self._listener.fileno() >= 0:
                refuse_connections(self._listener)
                self._listener.close()
            if len(self._signals) > 1 or time.monotonic() > given_up:
                for worker in self._workers:
                    worker.process.kill()
            self._wait(left if left > 0 else 1)
        if len(self._signals) > 1:
            return 128 + self._signals[-1]
        # Who was told to end while it started had no time to learn how to.
        return int(any(worker.process.exitcode not in (0, -signal.SIGTERM) for worker in self._workers))

    def _alive(self) -> bool:
        return any(worker.process.is_alive() for worker in self._workers)
