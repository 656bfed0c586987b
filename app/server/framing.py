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


def take_head(data: bytes) -> tuple[bytes, int]:
    """Return the head that `data` begins with, without its `Upgrade` lines, and how much of `data` was used.

    The service speaks no other protocol, and the parser would take the body of a request with `Upgrade` for the next
    request. Java's HTTP client sends this header to ask for HTTP/2. An incomplete head is empty. Something that the
    parser refuses is returned for what can never become a head, and for a head of more than 64 KiB.
    """
    line_ends = _LINE_ENDS.match(data)
    start = line_ends.end() if line_ends else 0
    end = data.find(_END, start, MAX_HEAD_BYTES) + len(_END)
    if (start < len(data) and not _METHOD.match(data, start)) or (end < len(_END) and len(data) > MAX_HEAD_BYTES):
        return _INVALID, len(data)
    if end < len(_END):
        return b"", start
    return _UPGRADE.sub(b"", data[start:end]), end


def body_bytes(headers: Mapping[bytes, bytes]) -> int:
    """Return the size of the body after these headers, with lower-case names, which the parser has accepted.

    Chunks have no known end. The connection closes after their request, so everything that follows belongs to it.
    """
    if b"transfer-encoding" in headers:
        return sys.maxsize
    # The parser refuses numbers above 64 bits, but `int` refuses long ones, even if they begin with zeros.
    return int(headers.get(b"content-length", b"0").strip()[-20:])
