"""Conditional requests (RFC 9110, section 13): a client that already has the current content gets a 304."""

import hashlib

from fastapi import Request

FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
"""For content that gets another URL when it changes."""


def etag(content: bytes) -> str:
    """Return a strong ETag. The same bytes get the same ETag in every process and on every machine."""
    return quoted(hashlib.sha256(content).hexdigest())


def quoted(sha256: str) -> str:
    """Return the ETag of content whose sha256 is known."""
    return f'"{sha256[:32]}"'


def is_known(request: Request, tag: str) -> bool:
    """Return whether the client says that it has the content with this ETag."""
    header = request.headers.get("if-none-match", "")
    known = {known.strip().removeprefix("W/") for known in header.split(",")}
    return tag in known or "*" in known


def headers(tag: str) -> dict[str, str]:
    """Return the headers for the content and for a 304. A browser keeps the content and revalidates it each time."""
    return {"ETag": tag, "Cache-Control": "no-cache"}
