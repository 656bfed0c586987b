"""Send requests at given times, whether or not replies have arrived, and time each from when it was due.

A client that waits for a reply before its next request sends least when the service is slowest. It therefore misses the
worst moments (coordinated omission). Here the times do not depend on the replies. The loop never sleeps, so that it
needs its own core. It reports how late it was.
"""

import gc
import math
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.bodies import GOLDEN, Body
from benchmarks.harness.servers import HOST

CONNECTIONS = 256
"""Open connections, each with one request at a time. While all are busy, requests are sent late and timed."""

REPLY_SECONDS = 10
"""Time after the end within which the last request must be answered."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """The latencies and sizes of the requests that were sent."""

    seconds: NDArray[np.float64]
    """From when a request was due until its reply was complete. Infinite unless the status was 200."""
    late_seconds: NDArray[np.float64]
    """From when a request was due until it was given to the kernel, which is the delay of the clients."""
    request_bytes: float
    """Mean size of a request, including the head."""
    reply_bytes: float
    """Mean size of a reply, including the head."""


def requests(body: Body, port: int) -> list[bytes]:
    """Return a request for each of the ten golden digits, as bytes on the wire."""
    encoded = [body.encode(pixels) for pixels in GOLDEN.pixels]
    headers = "".join(f"{name}: {value}\r\n" for name, value in body.headers.items())
    head = f"POST {body.path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n{headers}Content-Length: "
    return [b"%b%d\r\n\r\n%b" % (head.encode(), len(one), one) for one in encoded]


def send(port: int, contents: Sequence[bytes], gaps: Iterator[float], seconds: float) -> SendResult:
    """Send the requests in turn, with these gaps in seconds between them.

    Raises:
        SystemExit: the service closed a connection, or did not answer every request.
    """
    poll = select.epoll()
    sockets = {}
    for _ in range(CONNECTIONS):
        one = socket.create_connection((HOST, port))
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets[one.fileno()] = one
        poll.register(one.fileno(), select.EPOLLIN)
    gc.disable()  # a collection would make requests late
    try:
        return _send(poll, sockets, contents, gaps, seconds)
    finally:
        gc.enable()
        poll.close()
        for one in sockets.values():
            one.close()


def _send(
    poll: select.epoll,
    sockets: dict[int, socket.socket],
    contents: Sequence[bytes],
    gaps: Iterator[float],
    seconds: float,
) -> SendResult:
    clock = time.perf_counter
    next_content = cycle(contents)
    idle = deque(sockets)
    due_times: dict[int, float] = {}
    parts: dict[int, bytes] = {}
    latencies: list[float] = []
    late: list[float] = []
    sent_bytes = replied_bytes = 0
    due = clock() + 0.01
    end = due + seconds
    while due < end or due_times:
        now = clock()
        # Send at most one request before replies are read, so that no reply waits for many requests.
        if due <= now and due < end and idle:
            number = idle.popleft()
            content = next(next_content)
            sockets[number].sendall(content)
            sent_bytes += len(content)
            due_times[number] = due
            late.append(clock() - due)
            due += next(gaps)
        elif now > end + REPLY_SECONDS:
            raise SystemExit(f"expected all replies within {REPLY_SECONDS} s, {len(due_times)} are missing")
        for number, _ in poll.poll(0):
            received = sockets[number].recv(1 << 18)
            if not received:
                raise SystemExit("expected a reply, received the end of the connection")
            reply = parts.pop(number, b"") + received
            if not _is_complete(reply):
                parts[number] = reply
                continue
            was_due = due_times.pop(number)
            latencies.append(clock() - was_due if reply.startswith(b"HTTP/1.1 200") else math.inf)
            replied_bytes += len(reply)
            idle.append(number)
    count = len(latencies)
    return SendResult(np.array(latencies), np.array(late), sent_bytes / count, replied_bytes / count)


def _is_complete(reply: bytes) -> bool:
    head, ended, body = reply.partition(b"\r\n\r\n")
    if not ended:
        return False
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)
