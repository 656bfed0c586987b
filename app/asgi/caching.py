"""Conditional requests: a file with its ETag, or 304 to whom has it already (RFC 9110, section 13)."""

import hashlib

from fastapi import Request


def etag(content: bytes) -> str:
    """A strong ETag: the same bytes have the same one in every worker and on every machine."""
    return quoted(hashlib.sha256(content).hexdigest())


def quoted(sha256: str) -> str:
    """The ETag of content whose sha256 is known."""
    return f'"{sha256[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether the client says that it has the content with this ETag."""
    header = request.headers.get("if-none-match", "")
    known = {known.strip().removeprefix("W/") for known in header.split(",")}
    return tag in known or "*" in known


def headers(tag: str) -> dict[str, str]:
    """For the content and for 304: kept by the browser, and asked about each time, so that an update shows at once."""
    return {"ETag": tag, "Cache-Control": "no-cache"}
