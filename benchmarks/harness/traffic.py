"""Clients that send different requests at the same time, one after another, and report every answer."""

import http.client
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass

from benchmarks.harness.servers import HOST

REFUSED, LOST, LEFT = "refused", "lost", "left"
"""Outcomes without a status: the connection was refused, it ended without a reply, or the client left."""

CLIENTS = 8
TIMEOUT_SECONDS = 60


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


@contextmanager
def traffic(port: int, requests: Sequence[Request], record: Callable[[Request, int | str], None]) -> Iterator[None]:
    """Send requests from CLIENTS threads until the block ends. Every other client keeps its connection.

    A client draws requests at random, and ends when its connection is refused. `record` is called from several threads.
    """
    stopping = threading.Event()

    def run(number: int) -> None:
        rng = random.Random(number)
        outcome: int | str = LEFT
        with closing(connection_to(port)) as connection:
            while outcome != REFUSED and not stopping.is_set():
                request = rng.choice(requests)
                outcome = _exchange(connection, request)
                record(request, outcome)
                if number % 2:
                    connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(run, number) for number in range(CLIENTS)]
        try:
            yield
        finally:
            stopping.set()
    for client in running:
        client.result()


def send(port: int, request: Request) -> int | str:
    """Send a request on a new connection. Return the status, or LOST, REFUSED or LEFT."""
    with closing(connection_to(port)) as connection:
        return _exchange(connection, request)


def connection_to(port: int) -> http.client.HTTPConnection:
    """Return a connection to a service on this machine. It is opened when it is needed."""
    return http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_SECONDS)


def _exchange(connection: http.client.HTTPConnection, request: Request) -> int | str:
    try:
        if connection.sock is None:
            connection.connect()
    except ConnectionRefusedError:
        return REFUSED
    except OSError:
        return LOST
    try:
        connection.putrequest(request.method, request.path)
        if request.method == "POST":
            length = len(request.body) if request.content_length is None else request.content_length
            connection.putheader("Content-Type", request.content_type)
            connection.putheader("Content-Length", str(length))
        connection.endheaders(request.body or None)
        if request.leaves:
            connection.close()
            return LEFT
        response = connection.getresponse()
        response.read()
        if request.content_length is not None:
            connection.close()  # the service still waits for the rest of the body
        return response.status
    except (OSError, http.client.HTTPException):
        connection.close()
        return LOST
