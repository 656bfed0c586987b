"""Where a request's head and body end in the bytes of a connection (RFC 9112, sections 2 and 6).

uvicorn's parser reads these bytes too, and decides what a request is. This module only finds the ends, so that the
parser never gets a byte of the next request.
"""

import re
import sys
from collections.abc import Mapping

MAX_HEAD_BYTES = 64 * 1024

_END = b"\r\n\r\n"
_LINE_ENDS = re.compile(rb"[\r\n]{1,64}")  # that are skipped before a head
_METHOD = re.compile(rb"(?!CONNECT |PRI )[A-Z]")  # another protocol follows CONNECT, and HTTP/2 begins with PRI
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*(?=\r\n)", re.IGNORECASE)  # whole lines, so that no head ends sooner
_INVALID = b"\0"  # the parser refuses it at the beginning of a head


def take_head(held: bytearray) -> bytes:
    """Cut off and return the head that `held` begins with, without its `Upgrade` lines, or nothing if it is incomplete.

    The service speaks no other protocol, and the parser would take the body of a request with `Upgrade` for the next
    request. Java's HTTP client sends this header to ask for HTTP/2. Something that the parser refuses is returned for
    what can never become a head, and for a head of more than 64 KiB.
    """
    if line_ends := _LINE_ENDS.match(held):
        del held[: line_ends.end()]
    end = held.find(_END, 0, MAX_HEAD_BYTES)
    if (held and not _METHOD.match(held)) or (end < 0 and len(held) > MAX_HEAD_BYTES):
        return _INVALID
    if end < 0:
        return b""
    head = bytes(held[: end + len(_END)])
    del held[: len(head)]
    return _UPGRADE.sub(b"", head)


def body_bytes(headers: Mapping[bytes, bytes]) -> int:
    """Return the size of the body after these headers, with lower-case names, which the parser has accepted.

    Chunks have no known end. The connection closes after their request, so everything that follows belongs to it.
    """
    if b"transfer-encoding" in headers:
        return sys.maxsize
    # The parser refuses numbers above 64 bits, but `int` refuses long ones, even if they begin with zeros.
    return int(headers.get(b"content-length", b"0").strip()[-20:])
