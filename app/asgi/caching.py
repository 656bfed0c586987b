"""Conditional requests (RFC 9110, section 13): a client that already has the current content gets a 304."""

import hashlib

from fastapi import Request, Response

FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}  # for content that gets another URL when it changes


def headers_of(content: bytes) -> dict[str, str]:
    """Return `headers` for content. The same bytes get the same ETag in every process and on every machine."""
    return headers(hashlib.sha256(content).hexdigest())


def headers(sha256: str) -> dict[str, str]:
    """Return the headers for content with this sha256 or for a 304. Browsers keep it, and check its ETag each time."""
    return {"ETag": f'"{sha256[:32]}"', "Cache-Control": "no-cache"}


def unchanged(request: Request, headers: dict[str, str]) -> Response | None:
    """Return a 304 with these headers if the client says that it has the content with their ETag."""
    known = {known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")}
    return Response(status_code=304, headers=headers) if known & {headers["ETag"], "*"} else None
