"""The supervisor of several worker processes that share one listening socket.

It replaces a worker that ends or hangs, and drains all workers when the service stops.

uvicorn's own supervisor does not fit. It runs only uvicorn's own server. It does not notice a hanging event loop,
because a thread of the worker answers for it. It ignores a second signal while workers finish.
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

from app.server.listener import drop_connection_attempts
from app.server.server import FINISH_SECONDS
from app.settings import Settings
from app.telemetry import logs, shared_metrics

SILENT_SECONDS = 30
"""A worker whose event loop reports nothing for this long is replaced. No request blocks a loop for 1 % of that."""

START_SECONDS = 120
"""The same limit for a worker that starts, which usually takes about one second."""

_log = logging.getLogger(__name__)

Serve = Callable[[Settings, socket.socket, Connection], None]
"""The function that a worker process runs.

It serves on the listener until a signal ends it, and reports on the pipe once a second that it is alive.
"""


class _Worker:
    """A worker process and how long it has been silent."""

    def __init__(self, serve: Serve, settings: Settings, listener: socket.socket) -> None:
        # Spawned, not forked: ONNX Runtime's threads do not survive a fork.
        spawn = get_context("spawn")
        self.reports, sender = spawn.Pipe(duplex=False)
        self.process = spawn.Process(target=serve, args=(settings, listener, sender))
        self.process.start()
        sender.close()  # only the worker has it now, so the pipe ends when the worker ends
        self.serves = False
        """Whether the worker has ever reported."""
        self.silent_seconds = 0.0

    def read_reports(self) -> None:
        with suppress(EOFError, OSError):
            while self.reports.poll():
                self.reports.recv_bytes()
                self.serves, self.silent_seconds = True, 0.0

    @property
    def hangs(self) -> bool:
        return self.silent_seconds > (SILENT_SECONDS if self.serves else START_SECONDS)


class Supervisor:
    """Runs `settings.workers` worker processes."""

    def __init__(self, serve: Serve, settings: Settings, listener: socket.socket) -> None:
        """Prepare to run `serve` in each worker. `run` starts the workers."""
        self._serve = serve
        self._settings = settings
        self._listener = listener
        self._workers: list[_Worker] = []
        self._signals: list[int] = []
        # Python writes to the second socket when a signal arrives, which ends the wait on the first.
        self._signal_arrived, self._signal_sender = socket.socketpair()

    def run(self) -> int:
        """Serve until a signal stops the service, and return the exit code."""
        logs.configure()
        for end in (self._signal_arrived, self._signal_sender):
            end.setblocking(False)
        signal.set_wakeup_fd(self._signal_sender.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with shared_metrics.shared_folder():
            self._workers = [self._start_worker() for _ in range(self._settings.workers)]
            while not self._signals and self._replace_workers():
                self._wait(1, *(worker.reports for worker in self._workers))
            return self._stop()

    def _start_worker(self) -> _Worker:
        return _Worker(self._serve, self._settings, self._listener)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _wait(self, seconds: float, *reports: Connection) -> None:
        """Wait for a signal, the end of a worker or a report, for at most `seconds`."""
        began = time.monotonic()
        alive = [worker.process.sentinel for worker in self._workers if worker.process.is_alive()]
        if not alive:  # nothing would end the wait
            return
        connection.wait([self._signal_arrived, *alive, *reports], seconds)
        with suppress(BlockingIOError):
            self._signal_arrived.recv(100)
        # A container may pause the whole service. No worker hangs then, so count at most `seconds`.
        passed = min(time.monotonic() - began, seconds)
        for worker in self._workers:
            worker.silent_seconds += passed
            worker.read_reports()

    def _replace_workers(self) -> bool:
        """Replace workers that ended or hang. Return False if one ended before any worker ever served."""
        for index, worker in enumerate(self._workers):
            pid = worker.process.pid
            if worker.hangs:
                _log.error("worker %d has not reported for %d s; killing it", pid, worker.silent_seconds)
                worker.process.kill()
                worker.process.join()
            if worker.process.is_alive():
                continue
            worker.read_reports()
            if not any(other.serves for other in self._workers):
                _log.error("worker %d ended with exit code %s before it served", pid, worker.process.exitcode)
                return False
            _log.error("worker %d ended with exit code %s; starting another", pid, worker.process.exitcode)
            worker.reports.close()
            shared_metrics.forget_worker(pid)
            self._workers[index] = self._start_worker()
        return True

    def _stop(self) -> int:
        """Drain all workers at the same time, and return the exit code. A second signal kills them."""
        for worker in self._workers:
            worker.process.terminate()
        drain_deadline = time.monotonic() + self._settings.drain_seconds
        kill_deadline = drain_deadline + FINISH_SECONDS + 5
        while any(worker.process.is_alive() for worker in self._workers):
            remaining = drain_deadline - time.monotonic()
            if remaining <= 0 and self._listener.fileno() >= 0:
                drop_connection_attempts(self._listener)
                self._listener.close()
            if len(self._signals) > 1 or time.monotonic() > kill_deadline:
                for worker in self._workers:
                    worker.process.kill()
            self._wait(remaining if remaining > 0 else 1)
        if len(self._signals) > 1:
            return 128 + self._signals[-1]
        # A worker that was terminated while it started has no signal handler yet, and ends with -SIGTERM.
        return int(any(worker.process.exitcode not in (0, -signal.SIGTERM) for worker in self._workers))
