"""Clients that keep a service busy, each sending its next request when the last was answered."""

import http.client
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import NamedTuple, Self

import psutil

from benchmarks.harness.servers import HOST, START_SECONDS, Server, serving

REFUSED, LOST, LEFT = "refused", "lost", "left"
"""Instead of a status: nobody listened; the connection was taken and ended without an answer; the client went away."""

TIMEOUT_SECONDS = 60
KEPT_FOR = 100
"""Requests on one connection of a client that keeps it."""


class Request(NamedTuple):
    """What is sent, and what must come of it."""

    kind: str
    body: bytes = b""
    content_type: str = ""
    method: str = "POST"
    path: str = "/predict"
    expected: int | str = 200
    length: int | None = None
    """What Content-Length says, if not the body's."""
    leaves: bool = False
    """Whether the client goes away once this was sent."""


class Outcome(NamedTuple):
    """What came of a request."""

    request: Request
    status: int | str
    version: str | None
    """Of the model that answered."""
    began: float
    """By `time.perf_counter`."""
    seconds: float
    kept: bool
    """Whether another request had been answered on the same connection before."""
    again: int | str | None
    """What came of sending it again, where it was lost."""

    @property
    def right(self) -> bool:
        """Whether it is what must come of it."""
        return self.status == self.request.expected


class Traffic:
    """Clients in threads, from `with Traffic(...)` until the block is left; every other one keeps its connection.

    A client ends when it is refused.
    """

    def __init__(
        self, port: int, requests: Sequence[Request], note: Callable[[Outcome], None], clients: int = 8
    ) -> None:
        """Nothing is sent yet.

        Args:
            port: whom to ask.
            requests: each is as likely as the others.
            note: told each outcome, by many threads.
            clients: how many.
        """
        self._port = port
        self._requests = requests
        self._note = note
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(number), number % 2), daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_SECONDS)

    def wait(self, seconds: float) -> bool:
        """Whether all clients have ended, refused, within so many seconds."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, rng: random.Random, keeps: int) -> None:
        connection, answered = None, 0
        while not self._stop.is_set():
            request = rng.choice(self._requests)
            connection = connection or connection_to(self._port)
            kept = connection.sock is not None
            began = time.perf_counter()
            status, version = exchange(connection, request)
            seconds = time.perf_counter() - began
            again = exchange(connection_to(self._port), request, last=True)[0] if status == LOST else None
            self._note(Outcome(request, status, version, began, seconds, kept, again))
            answered += 1
            if not keeps or isinstance(status, str) or answered == KEPT_FOR:
                connection.close()
                connection, answered = None, 0
            if REFUSED in (status, again):
                break
        if connection is not None:
            connection.close()


def connection_to(port: int) -> http.client.HTTPConnection:
    """A connection that is made by the first request on it."""
    return http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_SECONDS)


def exchange(
    connection: http.client.HTTPConnection, request: Request, *, last: bool = False
) -> tuple[int | str, str | None]:
    """Send a request; the status and the version that answered.

    Args:
        connection: new, or one that was answered on.
        request: what to send.
        last: close the connection afterwards.
    """
    try:
        if connection.sock is None:
            connection.connect()
    except ConnectionRefusedError:
        return REFUSED, None
    except OSError:
        return LOST, None
    try:
        connection.putrequest(request.method, request.path)
        if request.method == "POST":
            connection.putheader("Content-Type", request.content_type)
            connection.putheader("Content-Length", str(len(request.body) if request.length is None else request.length))
        connection.endheaders(request.body or None)
        if request.leaves:
            connection.close()
            return LEFT, None
        response = connection.getresponse()
        response.read()
        return response.status, response.headers["X-Model-Version"]
    except (OSError, http.client.HTTPException):
        connection.close()
        return LOST, None
    finally:
        if last:
            connection.close()


@contextmanager
def own_service(workers: int = 1, **settings: str) -> Iterator[Server]:
    """The service as `make serve` starts it, with these settings, once all its workers answer."""
    environment = {"MNIST_HOST": HOST, "MNIST_PORT": "{port}", "MNIST_WORKERS": str(workers), **settings}
    with serving((sys.executable, "-m", "app"), environment) as server:
        wait_for_models(server, workers)
        yield server


def workers_of(server: Server) -> list[psutil.Process]:
    """The processes that answer: the server's own, or its children that have a model."""
    process = psutil.Process(server.process.pid)
    return [one for one in (process, *process.children()) if _has_a_model(one)]


def wait_for_models(server: Server, times: int) -> None:
    """Until workers have said so many times that they serve a model.

    Raises:
        SystemExit: they had not in time; with the end of what was said.
    """
    deadline = time.monotonic() + START_SECONDS
    while server.output().count("serving mnist-dense version") < times:
        if time.monotonic() > deadline or server.process.poll() is not None:
            raise SystemExit(f"expected {times} models to be loaded:\n{server.output()[-2000:]}")
        time.sleep(0.05)


def connections(server: Server) -> int:
    """How many the workers hold, those included that their client has closed and they have not."""
    return sum(len([one for one in worker.net_connections("tcp") if one.raddr]) for worker in workers_of(server))


def _has_a_model(process: psutil.Process) -> bool:
    try:
        return any("onnxruntime" in mapped.path for mapped in process.memory_maps())
    except psutil.Error:  # gone meanwhile
        return False
