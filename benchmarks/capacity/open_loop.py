"""Requests that are sent when they are due, whatever the answers do, each timed from when it was due.

A client that waits for an answer before it asks again asks least when the service is slowest, and so leaves out the
worst (coordinated omission). Here the times are drawn beforehand. The loop never sleeps: it wants a core of its own,
and says how late it was.
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
"""Kept open, each with one request at a time; with all of them busy, a request is sent late, and timed all the same."""

ANSWER_SECONDS = 10
"""In which the last must have been answered."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of it."""

    seconds: NDArray[np.float64]
    """From when each was due to its last byte; infinite for what was not answered 200."""
    late_seconds: NDArray[np.float64]
    """From when each was due until it was handed to the kernel: the clients' own delay."""
    request_bytes: float
    """Mean, with the head."""
    reply_bytes: float


def requests(body: Body, port: int) -> list[bytes]:
    """The ten reference digits, as they go over the wire."""
    encoded = [body.encode(pixels) for pixels in GOLDEN.pixels]
    named = "".join(f"{name}: {value}\r\n" for name, value in body.headers.items())
    head = f"POST {body.path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n{named}Content-Length: "
    return [b"%b%d\r\n\r\n%b" % (head.encode(), len(one), one) for one in encoded]


def ask(port: int, wires: Sequence[bytes], gaps: Iterator[float], seconds: float) -> Asked:
    """Send them in turn, for so many seconds, with these gaps between one and the next.

    Raises:
        SystemExit: the service closed a connection, or did not answer all.
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
        return _ask(poll, sockets, wires, gaps, seconds)
    finally:
        gc.enable()
        poll.close()
        for one in sockets.values():
            one.close()


def _ask(
    poll: select.epoll,
    sockets: dict[int, socket.socket],
    wires: Sequence[bytes],
    gaps: Iterator[float],
    seconds: float,
) -> Asked:
    clock = time.perf_counter
    wire = cycle(wires)
    idle = deque(sockets)
    asked: dict[int, float] = {}
    parts: dict[int, bytes] = {}
    latencies: list[float] = []
    late: list[float] = []
    sent_bytes = replied_bytes = 0
    due = clock() + 0.01
    end = due + seconds
    while due < end or asked:
        now = clock()
        # One at most, so that no answer waits for many that are sent.
        if due <= now and due < end and idle:
            number = idle.popleft()
            content = next(wire)
            sockets[number].sendall(content)
            sent_bytes += len(content)
            asked[number] = due
            late.append(clock() - due)
            due += next(gaps)
        elif now > end + ANSWER_SECONDS:
            raise SystemExit(f"expected all requests to be answered within {ANSWER_SECONDS} s, {len(asked)} were not")
        for number, _ in poll.poll(0):
            received = sockets[number].recv(1 << 18)
            if not received:
                raise SystemExit("expected a reply, received the end of the connection")
            reply = parts.pop(number, b"") + received
            if not _is_whole(reply):
                parts[number] = reply
                continue
            was_due = asked.pop(number)
            latencies.append(clock() - was_due if reply.startswith(b"HTTP/1.1 200") else math.inf)
            replied_bytes += len(reply)
            idle.append(number)
    count = len(latencies)
    return Asked(np.array(latencies), np.array(late), sent_bytes / count, replied_bytes / count)


def _is_whole(reply: bytes) -> bool:
    head, ended, body = reply.partition(b"\r\n\r\n")
    if not ended:
        return False
    length = head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
    return len(body) >= int(length)
