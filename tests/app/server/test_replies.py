"""A reply's head and body leave in one write, and nothing waits longer than a turn of the event loop."""

import asyncio
from collections.abc import Iterable

from app.server.replies import Replies


class Recorder(asyncio.Transport):
    """A transport that keeps what reaches it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.is_closed = False

    def writelines(self, parts: Iterable[bytes]) -> None:  # type: ignore[override] # takes more types
        self.sent.append(b"".join(parts))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


def written(*parts: bytes, closes: bool = False) -> list[bytes]:
    """Return what reaches the transport when a reply is written in these parts, and one turn later."""

    async def reply() -> list[bytes]:
        transport = Recorder()
        replies = Replies()
        replies.connection_made(transport)
        for part in parts:
            replies.write(part)
        if closes:
            replies.close()
        await asyncio.sleep(0)
        return transport.sent

    return asyncio.run(reply())


def test_a_head_and_its_body_are_one_write() -> None:
    assert written(b"head", b"body") == [b"headbody"]


def test_a_head_without_a_body_is_written_in_the_next_turn() -> None:
    assert written(b"head") == [b"head"]


def test_a_close_writes_what_waits_first() -> None:
    assert written(b"head", closes=True) == [b"head"]


def test_a_long_reply_never_waits_whole() -> None:
    assert written(b"head", b"1", b"2", b"3") == [b"head1", b"23"]
