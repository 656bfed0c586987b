"""Hand accepted connections from the supervisor to its workers.

When workers accept from a shared listener, the kernel chooses the worker, and may give one worker all connections. A
client keeps its connection, so the other workers stay idle. Instead, the supervisor accepts each connection and hands
it to a worker of its choice. Each worker has one Unix socket to the supervisor, and both ends are here:

1. The supervisor sends a connection with `WorkerLink.hand`, and keeps a copy.
2. The worker receives it in `SupervisorLink`, reports `TAKEN`, and only then reads from it. Then the supervisor
   closes its copy. So a connection that a worker never took can be handed to another worker (`take_back`).
3. The worker reports `CLOSED` when the connection is closed. So the supervisor knows how many each worker has.
4. The worker reports `ALIVE` once a second.
5. When no more connections follow, the supervisor closes its direction of the socket (`finish`). The worker receives
   what is still on its way, and then stops. The same happens when the supervisor is killed.
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

TAKEN, CLOSED, ALIVE = b"+", b"-", b"."
"""The reports of a worker, each one byte."""

MAX_NOT_TAKEN = 64
"""How many connections may be on their way to a worker. They fit into the buffer of every Unix socket, so that `hand`
never blocks. With a lower limit, a worker that is busy for some milliseconds gets less than its share of a crowd."""

UNTAKEN_SECONDS = 0.5
"""A worker that takes nothing for this long gets no more, because it may hang. No request blocks a worker for 0.3 s."""

_TAKEN_AT_ONCE = 8
"""How many connections a worker takes before it serves others again.

With 1, a request on a new connection takes 1.3 times the processor time, because fewer requests share a turn of the
event loop. With 64, a worker holds many bodies at once. Clients that leave in the middle of their bodies then cost two
workers 75 MB instead of 6 (`python -m benchmarks.faults.injection --only disconnects --workers 2`).
"""


class WorkerLink:
    """The supervisor's end of the socket to one worker."""

    def __init__(self, end: socket.socket) -> None:
        """Use this end of a socket pair."""
        end.setblocking(False)
        self._socket = end
        self._not_taken: deque[socket.socket] = deque()
        self.connections = 0
        """How many connections the worker has, with those on their way to it."""
        self.handed_at = 0.0
        """When the worker got its last connection, in seconds of `time.monotonic`."""
        self._waits_since = 0.0
        """When the worker last took a connection, or got its first one since then."""

    def fileno(self) -> int:
        """Return the file descriptor to watch for reports."""
        return self._socket.fileno()

    @property
    def takes_connections(self) -> bool:
        """Whether the worker takes the connections that are on their way to it, and these are not too many."""
        waiting = len(self._not_taken)
        return not waiting or (waiting < MAX_NOT_TAKEN and time.monotonic() - self._waits_since < UNTAKEN_SECONDS)

    def hand(self, connection: socket.socket) -> None:
        """Send a connection to the worker.

        Raises:
            OSError: the worker has ended, or the system has no room for the connection.
        """
        socket.send_fds(self._socket, [b"c"], [connection.fileno()])
        self.handed_at = time.monotonic()
        if not self._not_taken:
            self._waits_since = self.handed_at
        self._not_taken.append(connection)
        self.connections += 1

    def read_reports(self) -> bool:
        """Note what the worker has reported. Return False if it reports nothing more, because it stops or has ended."""
        try:
            reports = self._socket.recv(65536)
        except BlockingIOError:
            return True
        except ConnectionResetError:  # the worker has left connections that it did not take
            return False
        for _ in range(reports.count(TAKEN)):
            self._not_taken.popleft().close()
            self._waits_since = time.monotonic()
        self.connections -= reports.count(CLOSED)
        return bool(reports)

    def take_back(self) -> list[socket.socket]:
        """Close the socket, and return the connections that the worker did not take. Read all its reports before."""
        self._socket.close()
        connections, self._not_taken = list(self._not_taken), deque()
        return connections

    def finish(self) -> None:
        """Tell the worker that no more connections follow."""
        with suppress(OSError):  # the worker has ended
            self._socket.shutdown(socket.SHUT_WR)


class SupervisorLink:
    """A worker's end of the socket to its supervisor."""

    def __init__(self, end: socket.socket) -> None:
        """Use this end of a socket pair."""
        end.setblocking(False)
        self._socket = end
        self._reports = bytearray()
        """The reports that are not sent yet, because the supervisor is paused and the socket is full."""
        self._tasks: set[asyncio.Task[object]] = set()

    def start(self, create_protocol: Callable[[], asyncio.Protocol], finish: Callable[[], None]) -> None:
        """Serve the connections that the supervisor hands over.

        Args:
            create_protocol: returns the protocol of one connection.
            finish: called when no more connections follow.
        """
        self._create_protocol = create_protocol
        self._finish = finish
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    def report(self, report: bytes) -> None:
        """Send `CLOSED` or `ALIVE` to the supervisor."""
        self._reports += report
        with suppress(OSError):  # the supervisor is paused, or was killed
            del self._reports[: self._socket.send(self._reports)]

    def stop(self) -> None:
        """Take no more connections. The supervisor hands those that are on their way to another worker."""
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        with suppress(BlockingIOError):
            for _ in range(_TAKEN_AT_ONCE):
                try:
                    message, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
                except ConnectionResetError:  # the supervisor was killed before it read all reports
                    message, descriptors = b"", []
                if not message:
                    asyncio.get_running_loop().remove_reader(self._socket)
                    self._finish()
                    return
                self.report(TAKEN)
                if descriptors:
                    self._serve(socket.socket(fileno=descriptors[0]))
                else:  # this process has reached its limit of open files
                    self.report(CLOSED)

    def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._create_protocol, connection))
        self._tasks.add(task)  # the event loop itself keeps no reference
        task.add_done_callback(self._tasks.discard)
