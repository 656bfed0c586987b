"""Where a request's head and body end in the bytes of a connection (RFC 9112, sections 2, 6 and 7.1).

uvicorn's parser reads these bytes too, and decides what a request is. This module finds where heads and bodies end, so
that the parser never gets a byte of the next request. It leaves out `Upgrade` and trailers, and refuses what can never
become a head.
"""

import math
import re
from collections.abc import Mapping

MAX_HEAD_BYTES = 64 * 1024
"""Maximum size of a head, of the line before a chunk, and of the trailers."""

_PIECE_BYTES, _PIECE_CHUNKS = 64 * 1024, 256  # of a body, until another connection gets its turn
_LINE_END_BYTES = 64  # that are skipped before a head
_END, _LAST_CHUNK = b"\r\n\r\n", b"0\r\n\r\n"
_METHOD = re.compile(rb"(?!PRI )[A-Z]")  # PRI begins HTTP/2
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)
_CHUNK = re.compile(rb"([0-9a-f]+)(?:;[^\r\n]*)?\r\n", re.IGNORECASE)
_INVALID = b"\0"  # the parser refuses it at the beginning of a head


class Head:
    """The head of a request."""

    def take(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Return the head at `start` without its `Upgrade` lines, and how far `data` was used.

        The service speaks no other protocol, and the parser would take the body of a request with `Upgrade` for the
        next request. Java's HTTP client sends this header to ask for HTTP/2. An incomplete head is empty. If it can
        never become valid, something that the parser refuses is returned.
        """
        begin, limit = start, min(len(data), start + _LINE_END_BYTES)
        while begin < limit and data[begin] in b"\r\n":
            begin += 1
        if begin == len(data):
            return b"", begin
        end = data.find(_END, begin, begin + MAX_HEAD_BYTES) + len(_END)
        line_end = data.find(b"\n", begin, begin + MAX_HEAD_BYTES)
        if not _METHOD.match(data, begin) or (line_end > 0 and data[line_end - 1] != ord("\r")):
            return _INVALID, len(data)
        if end < len(_END):
            return b"", begin
        head = data[begin:end]
        return _UPGRADE.sub(b"", head) if b"\r\nupgrade:" in head.lower() else head, end


class Body:
    """The body of a request, which the parser measures by the same headers."""

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        """Read headers with lower-case names that the parser has accepted."""
        self._is_chunked = b"transfer-encoding" in headers
        # The parser refuses numbers above 64 bits, but `int` refuses long ones, even if they begin with zeros.
        self._left = 0 if self._is_chunked else int(headers.get(b"content-length", b"0").strip()[-20:])
        self._may_not_come = b"expect" in headers  # a client that waits for 100 may send no body after another reply
        self.is_invalid = False

    @property
    def missing(self) -> float:
        """Number of bytes that are still to be taken. It is infinite for chunks, and for a body that may not come."""
        return math.inf if self._is_chunked or (self._left and self._may_not_come) else self._left

    def take(self, data: bytes, start: int) -> tuple[bytes, int]:
        """Return the next part of the body, which begins at `start`, and how far `data` was used.

        It is empty if the line before a chunk, or the trailers, are incomplete. If that line is invalid, the part ends
        with it, for the parser to refuse it, and `is_invalid` is set. Trailers are left out: uvicorn would add them to
        the headers, and `Connection: close` among them would make its parser ignore the next request.
        """
        end, stop = start, min(len(data), start + _PIECE_BYTES)
        for _ in range(_PIECE_CHUNKS):
            taken = min(self._left, stop - end)
            self._left -= taken
            end += taken
            if self._left or not self._is_chunked:
                break
            line_end = data.find(b"\r\n", end, end + MAX_HEAD_BYTES)
            if line_end < 0:
                break
            line = _CHUNK.match(data, end, line_end + 2)
            if line is None:
                self._is_chunked, self.is_invalid = False, True
                return data[start : line_end + 2], line_end + 2
            size = int(line[1], 16)
            if not size:
                trailers_end = data.find(_END, line_end, line_end + MAX_HEAD_BYTES) + len(_END)
                if trailers_end < len(_END):
                    break
                self._is_chunked = False
                return data[start:end] + _LAST_CHUNK, trailers_end
            self._left = line_end + 2 - end + size + 2
        return data[start:end], end
