"""Clients that send different requests, one after another, and record every outcome."""

import http.client
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Self

from benchmarks.harness.servers import HOST

REFUSED, LOST, LEFT = "refused", "lost", "left"
"""Outcomes without a status: the connection was refused, it ended without a reply, or the client left."""

TIMEOUT_SECONDS = 60
REQUESTS_PER_CONNECTION = 100
"""A client that keeps its connection opens a new one after this many requests."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request and its expected outcome."""

    kind: str
    body: bytes = b""
    content_type: str = ""
    method: str = "POST"
    path: str = "/predict"
    expected: int | str = 200
    content_length: int | None = None
    """Value of Content-Length. None: the length of the body."""
    leaves: bool = False
    """Whether the client closes the connection after it has sent the request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The service's answer to a request."""

    status: int | str
    version: str | None = None
    """Version of the model that answered."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to a request."""

    request: Request
    answer: Answer
    began: float
    """Value of `time.perf_counter` when the request was sent."""
    seconds: float
    is_reused: bool
    """Whether the connection had been used before."""
    retry_status: int | str | None
    """Outcome of sending a lost request once more. None if it was not lost."""

    @property
    def as_expected(self) -> bool:
        """Return whether the status is the expected one."""
        return self.answer.status == self.request.expected

    @property
    def lost(self) -> bool:
        """Return whether the service accepted the request but did not answer it as expected."""
        return not self.as_expected and self.answer.status != REFUSED


class Traffic:
    """Runs clients in threads until the block is left. Every other client keeps its connection.

    A client ends when its connection is refused.
    """

    def __init__(
        self, port: int, requests: Sequence[Request], record: Callable[[Outcome], None], clients: int = 8
    ) -> None:
        """Prepare the clients.

        Args:
            port: port of the service.
            requests: a client draws from these at random.
            record: called with every outcome, from several threads.
            clients: number of clients.
        """
        self._port, self._requests, self._record = port, requests, record
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(number), number % 2 == 1), daemon=True)
            for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.wait(2 * TIMEOUT_SECONDS)

    def wait(self, seconds: float) -> bool:
        """Wait at most this long for all clients to end, and return whether they did."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, rng: random.Random, keeps: bool) -> None:
        refused = False
        while not refused and not self._stop.is_set():
            with closing(_connection(self._port)) as connection:
                for _ in range(REQUESTS_PER_CONNECTION if keeps else 1):
                    outcome = self._send(connection, rng.choice(self._requests))
                    self._record(outcome)
                    refused = REFUSED in (outcome.answer.status, outcome.retry_status)
                    if isinstance(outcome.answer.status, str) or self._stop.is_set():
                        break

    def _send(self, connection: http.client.HTTPConnection, request: Request) -> Outcome:
        is_reused = connection.sock is not None
        began = time.perf_counter()
        answer = _exchange(connection, request)
        seconds = time.perf_counter() - began
        retry_status = send(self._port, request).status if answer.status == LOST else None
        return Outcome(request, answer, began, seconds, is_reused, retry_status)


def send(port: int, request: Request) -> Answer:
    """Send a request on a new connection."""
    with closing(_connection(port)) as connection:
        return _exchange(connection, request)


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_SECONDS)


def _exchange(connection: http.client.HTTPConnection, request: Request) -> Answer:
    try:
        if connection.sock is None:
            connection.connect()
    except ConnectionRefusedError:
        return Answer(REFUSED)
    except OSError:
        return Answer(LOST)
    try:
        connection.putrequest(request.method, request.path)
        if request.method == "POST":
            length = len(request.body) if request.content_length is None else request.content_length
            connection.putheader("Content-Type", request.content_type)
            connection.putheader("Content-Length", str(length))
        connection.endheaders(request.body or None)
        if request.leaves:
            connection.close()
            return Answer(LEFT)
        response = connection.getresponse()
        response.read()
        return Answer(response.status, response.headers["X-Model-Version"])
    except (OSError, http.client.HTTPException):
        connection.close()
        return Answer(LOST)
