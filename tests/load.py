"""Clients that send the picture of a seven again and again, over HTTP or gRPC."""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException

import grpc

from tests.app.dialects import INFER, RAW, message

SEVEN: bytes = RAW["content"]
GRPC_SEVEN = message("UINT8", [1, 784], SEVEN)["message"].SerializeToString()
PATIENCE_SECONDS = 60
"""A guard against hanging."""

ANSWERED = ("200", "OK")
REFUSED = "refused"
"""The outcome when a client cannot connect, and so has sent no request."""


class HttpClient:
    """Sends pictures over one connection, or with `keeps=False` each over a new one."""

    def __init__(
        self, connection: HTTPConnection, body: bytes = SEVEN, *, keeps: bool = True, upload_seconds: float = 0
    ) -> None:
        """Prepare the client. Each upload takes `upload_seconds`."""
        self._connection, self._body, self._keeps, self._upload_seconds = connection, body, keeps, upload_seconds
        self.connections = 0
        self.failures = 0

    def ask(self) -> tuple[str, str | None]:
        """Send one request. Return its status or what failed, and the version that answered."""
        try:
            if self._connection.sock is None:
                self._connection.connect()
                self.connections += 1
        except OSError:
            return REFUSED, None
        try:
            self._send()
            reply = self._connection.getresponse()
            reply.read()
        except (OSError, HTTPException) as exc:
            self._connection.close()
            return f"lost: {exc!r}", None
        if not self._keeps:
            self._connection.close()
        return str(reply.status), reply.headers["X-Model-Version"]

    def _send(self) -> None:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(self._body))}
        if self._upload_seconds:
            self._connection.request("POST", "/predict", self._slowly(), headers)
            return
        # Head and body are sent in one piece. HAProxy repeats only such requests.
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self._connection.request("POST", "/predict", self._body, headers)
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    def _slowly(self) -> Iterator[bytes]:
        yield self._body[:-1]
        time.sleep(self._upload_seconds)
        yield self._body[-1:]

    def close(self) -> None:
        self._connection.close()


class GrpcClient:
    """Sends pictures over one channel. Calls that fail are not tried again."""

    def __init__(self, channel: grpc.Channel, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._channel, self._metadata = channel, metadata
        self._infer = channel.unary_unary(INFER)
        self.failures = 0

    def ask(self) -> tuple[str, str | None]:
        """Make one call. Return its code, and the version that answered."""
        try:
            _, call = self._infer.with_call(GRPC_SEVEN, timeout=PATIENCE_SECONDS, metadata=self._metadata)
        except grpc.RpcError as exc:
            return str(exc.code().name), None
        return "OK", dict(call.trailing_metadata())["x-model-version"]

    def close(self) -> None:
        self._channel.close()


class Load:
    """Clients that send at the same time, and the number of their requests by outcome and by version."""

    def __init__(
        self, clients: Iterable[HttpClient | GrpcClient], *, pause_seconds: float = 0, until_refused: bool = False
    ) -> None:
        """Prepare the clients. With `until_refused`, each one stops at its first request that is not answered."""
        self.clients = list(clients)
        self.outcomes: Counter[str] = Counter()
        self.versions: Counter[str | None] = Counter()
        self._pause_seconds, self._until_refused = pause_seconds, until_refused
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    def _send(self, client: HttpClient | GrpcClient, requests: int | None = None) -> None:
        sent = 0
        while not self._stopping.is_set() and sent != requests:
            outcome, version = client.ask()
            with self._lock:
                self.outcomes[outcome] += 1
                self.versions[version] += 1
            client.failures += outcome not in (*ANSWERED, REFUSED)
            if self._until_refused and outcome not in ANSWERED:
                break
            sent += 1
            time.sleep(self._pause_seconds)
        client.close()

    @property
    def answered(self) -> int:
        return sum(self.outcomes[outcome] for outcome in ANSWERED)

    def run(self, requests: int) -> None:
        """Let each client send this many requests."""
        with ThreadPoolExecutor(len(self.clients)) as pool:
            list(pool.map(lambda client: self._send(client, requests), self.clients))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Send requests until the block ends, or with `until_refused` until all clients have stopped."""
        with ThreadPoolExecutor(len(self.clients)) as pool:
            sending = [pool.submit(self._send, client) for client in self.clients]
            try:
                yield
            except BaseException:
                self._stopping.set()
                raise
            if not self._until_refused:
                self._stopping.set()
            for each in sending:
                each.result()

    def wait_for(self, more: int, version: str | None = None) -> None:
        """Wait until this many further requests were answered, by this version if one is named."""
        deadline = time.monotonic() + PATIENCE_SECONDS

        def count() -> int:
            return self.answered if version is None else self.versions[version]

        target = count() + more
        while count() < target:
            assert time.monotonic() < deadline, (version, self.versions, self.outcomes)
            time.sleep(0.02)
