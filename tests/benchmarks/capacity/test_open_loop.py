"""The open loop sends requests when they are due, whether or not replies have arrived."""

import itertools
import socketserver
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.capacity import open_loop

STALL_SECONDS = 0.3
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"
REPLIES = {
    "stalling": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "refusing": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
}


class Server(socketserver.ThreadingTCPServer):
    """Answers immediately, except for one stall at the tenth request."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = open_loop.CONNECTIONS

    def __init__(self, reply: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply, self.numbers, self.lock = reply, itertools.count(1), threading.Lock()


class Handler(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        while self.request.recv(4096):
            with self.server.lock:
                if next(self.server.numbers) == 10 and self.server.reply.startswith(b"HTTP/1.1 200"):
                    time.sleep(STALL_SECONDS)
            half = len(self.server.reply) // 2
            self.request.sendall(self.server.reply[:half])
            self.request.sendall(self.server.reply[half:])


@pytest.fixture
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    with Server(REPLIES[request.param]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("port", ["stalling"], indirect=True)
def test_every_request_that_was_due_during_a_stall_is_slow(port: int) -> None:
    sent = open_loop.send(port, [REQUEST], itertools.repeat(0.01), 0.595)

    # For a client that waits for each reply, only one request would be slow.
    assert len(sent.seconds) == 60
    assert np.sum(sent.seconds > STALL_SECONDS / 3) >= 15
    assert sent.seconds.max() > STALL_SECONDS * 0.9
    assert (sent.request_bytes, sent.reply_bytes) == (len(REQUEST), len(REPLIES["stalling"]))


@pytest.mark.parametrize("port", ["refusing"], indirect=True)
def test_a_request_that_was_refused_took_infinitely_long(port: int) -> None:
    sent = open_loop.send(port, [REQUEST], itertools.repeat(0.02), 0.09)

    assert sent.seconds.tolist() == [np.inf] * 5


@pytest.mark.parametrize("port", ["stalling"], indirect=True)
def test_the_delay_of_the_clients_is_reported(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_loop, "CONNECTIONS", 1)  # it is busy while the service stalls

    sent = open_loop.send(port, [REQUEST], itertools.repeat(0.01), 0.445)

    assert sent.late_seconds.max() > STALL_SECONDS / 2
    assert np.sum(sent.seconds > STALL_SECONDS / 3) >= 12


@pytest.mark.parametrize(
    ("reply", "complete"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-le", False, id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", False, id="half a body"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", True, id="all"),
        pytest.param(b"HTTP/1.1 503 No\r\nX: Y\r\nContent-Length: 0\r\n\r\n", True, id="no body"),
    ],
)
def test_a_reply_is_complete_with_its_last_byte(reply: bytes, complete: bool) -> None:
    assert open_loop._is_complete(reply) is complete
