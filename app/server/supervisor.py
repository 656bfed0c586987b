"""The supervisor of several worker processes.

It alone listens. It accepts each connection and hands it to the worker that has the fewest (`app.server.handover`). It
replaces a worker that ends or hangs. When the service stops:

1. It sends SIGTERM to all workers, so that they drain. It still accepts connections for `MNIST_DRAIN_SECONDS`.
2. It closes the listener (`app.server.listener`) and hands the last connections out.
3. It tells the workers that no more connections follow, and waits until they have finished their requests.

uvicorn's own supervisor does not fit. It runs only uvicorn's own server. It does not notice a hanging event loop,
because a thread of the worker answers for it. It ignores a second signal while workers finish.
"""

import logging
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context, resource_tracker
from types import FrameType

from app.server.handover import WorkerLink
from app.server.listener import QUEUE_SECONDS, accept_packets, drop_connection_attempts
from app.server.server import FINISH_SECONDS
from app.settings import Settings
from app.telemetry import logs, shared_metrics

SILENT_SECONDS = 30
"""A worker whose event loop reports nothing for this long is replaced. No request blocks an event loop for 0.3 s."""

START_SECONDS = 120
"""The same limit for a worker that starts, which usually takes about one second."""

_QUIET_SECONDS = 2
"""A worker that reports nothing for this long gets no new connections, because it may hang."""

_BACKLOG = 2048
"""How many connections the kernel queues. uvicorn uses the same number."""

_NO_FILES_SECONDS = 0.1
"""How long to wait when the system has no room for another connection."""

_log = logging.getLogger(__name__)

Serve = Callable[[Settings, socket.socket], None]
"""The function that a worker process runs, with its end of the socket to the supervisor (`SupervisorLink`)."""


class _Worker:
    """A worker process, the connections that it has, and how long it has been silent."""

    def __init__(self, serve: Serve, settings: Settings) -> None:
        # Spawned, not forked: ONNX Runtime's threads do not survive a fork.
        spawn = get_context("spawn")
        own_end, worker_end = socket.socketpair()
        self.link = WorkerLink(own_end)
        self.process = spawn.Process(target=serve, args=(settings, worker_end))
        # A terminal sends SIGINT to all processes. Workers inherit that it is blocked, because we send them SIGTERM.
        resource_tracker.ensure_running()  # now, because its start unblocks SIGINT
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self.process.start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        worker_end.close()  # only the worker has it now, so the link ends when the worker ends
        self.serves = False
        """Whether the worker has ever reported."""
        self.stops = False
        """Whether the worker takes no more connections."""
        self.ended = False
        self.silent_seconds = 0.0

    @property
    def takes_connections(self) -> bool:
        return self.serves and not self.stops and self.silent_seconds < _QUIET_SECONDS and self.link.takes_connections

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
        self._listener.setblocking(False)
        self._accepts = False
        """Whether the listener is watched."""
        self._workers: list[_Worker] = []
        self._waiting: deque[socket.socket] = deque()
        """Accepted connections that no worker has."""
        self._signals: list[int] = []
        # Python writes to the second socket when a signal arrives, which ends the wait on the first.
        self._signal_arrived, self._signal_sender = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        """Each file that is watched, with the function to call when it can be read."""

    def run(self) -> int:
        """Serve until a signal stops the service, and return the exit code."""
        logs.configure(logs.format_in_use(self._settings.log_format))
        for end in (self._signal_arrived, self._signal_sender):
            end.setblocking(False)
        self._selector.register(self._signal_arrived, selectors.EVENT_READ, lambda: self._signal_arrived.recv(100))
        signal.set_wakeup_fd(self._signal_sender.fileno())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        with shared_metrics.shared_folder():
            self._workers = [self._start_worker() for _ in range(self._settings.workers)]
            while not self._signals and self._replace_workers():
                self._handle_events(1)
            return self._stop()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _start_worker(self) -> _Worker:
        worker = _Worker(self._serve, self._settings)
        self._selector.register(worker.link, selectors.EVENT_READ, lambda: self._read_reports(worker))
        self._selector.register(worker.process.sentinel, selectors.EVENT_READ, lambda: self._note_end(worker))
        return worker

    def _handle_events(self, seconds: float) -> None:
        """Wait for connections, reports, signals or the end of a worker, for at most `seconds`, and handle them."""
        self._watch_listener(any(worker.takes_connections for worker in self._workers) and not self._waiting)
        began = time.monotonic()
        events = self._selector.select(seconds)
        # A container may pause the whole service. No worker hangs then, so count at most `seconds`.
        passed = min(time.monotonic() - began, seconds)
        for worker in self._workers:
            worker.silent_seconds += passed
        for key, _ in events:
            key.data()
        self._hand_out()

    def _watch_listener(self, accept: bool) -> None:
        """Accept connections only while a worker takes them. Until then they wait in the kernel's queue."""
        if accept == self._accepts or self._listener.fileno() < 0:
            return
        self._accepts = accept
        if accept:
            self._listener.listen(_BACKLOG)  # when the first worker serves; later calls change nothing
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        else:
            self._selector.unregister(self._listener)

    def _accept(self) -> None:
        try:
            connection, _address = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # the client has left
            return
        except OSError as exc:
            _log.error("cannot accept a connection: %s", exc)
            time.sleep(_NO_FILES_SECONDS)
            return
        if self._signals:
            accept_packets(connection)
        self._waiting.append(connection)

    def _hand_out(self) -> None:
        """Hand each waiting connection to the worker that has the fewest. Workers with equally many take turns."""
        while self._waiting:
            links = [worker.link for worker in self._workers if worker.takes_connections]
            if not links:
                return
            try:
                min(links, key=lambda link: (link.connections, link.handed_at)).hand(self._waiting[0])
            except OSError:  # its next event tells that this worker has ended
                return
            self._waiting.popleft()

    def _read_reports(self, worker: _Worker) -> None:
        if worker.link.read_reports():
            worker.serves, worker.silent_seconds = True, 0.0
        else:
            worker.stops = True
            self._selector.unregister(worker.link)
            self._waiting.extend(worker.link.take_back())

    def _note_end(self, worker: _Worker) -> None:
        self._selector.unregister(worker.process.sentinel)
        worker.process.join()
        worker.ended = True

    def _replace_workers(self) -> bool:
        """Replace workers that ended or hang. Return False if one ended and no current worker has served yet."""
        for index, worker in enumerate(self._workers):
            pid = worker.process.pid
            if worker.hangs:
                _log.error("worker %d has not reported for %d s; killing it", pid, worker.silent_seconds)
                worker.process.kill()
                worker.process.join()
            if not (worker.ended and worker.stops):
                continue
            if not any(other.serves for other in self._workers):
                _log.error("worker %d ended with exit code %s before it served", pid, worker.process.exitcode)
                return False
            _log.error("worker %d ended with exit code %s; starting another", pid, worker.process.exitcode)
            shared_metrics.forget_worker(pid)
            self._workers[index] = self._start_worker()
        return True

    def _stop(self) -> int:
        """Drain all workers at the same time, and return the exit code. A second signal kills them."""
        for worker in self._workers:
            worker.process.terminate()
        self._handle_events_for(self._settings.drain_seconds)
        drop_connection_attempts(self._listener)
        self._handle_events_for(QUEUE_SECONDS)
        self._close_listener()
        kill_deadline = time.monotonic() + FINISH_SECONDS + 5
        self._handle_events_for(FINISH_SECONDS, lambda: not self._waiting)
        for worker in self._workers:
            worker.link.finish()
        self._handle_events_for(kill_deadline - time.monotonic())
        for worker in self._workers:
            worker.process.kill()
            worker.process.join()
        if len(self._signals) > 1:
            return 128 + self._signals[-1]
        # A worker that was terminated while it started has no signal handler yet, and ends with -SIGTERM.
        return int(any(worker.process.exitcode not in (0, -signal.SIGTERM) for worker in self._workers))

    def _handle_events_for(self, seconds: float, done: Callable[[], bool] = lambda: False) -> None:
        """Handle events for this long, or until the condition holds, no worker is left or a second signal arrives."""
        deadline = time.monotonic() + seconds
        while len(self._signals) < 2 and not done() and not all(worker.ended for worker in self._workers):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            self._handle_events(min(remaining, 1))

    def _close_listener(self) -> None:
        """Accept what is left in the kernel's queue, and close the listener."""
        self._watch_listener(accept=False)
        with suppress(OSError):
            while True:
                connection, _address = self._listener.accept()
                accept_packets(connection)
                self._waiting.append(connection)
        self._listener.close()
