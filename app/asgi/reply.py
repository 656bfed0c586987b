"""The reply of an endpoint, and the short way for a server to send it."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import orjson
from starlette.types import Receive, Scope

JSON = ((b"content-type", b"application/json"),)

REPLY = "digits.reply"
"""The ASGI extension: a function that takes the headers of a 200 as bytes, each with its line end, and the body."""

ROUTE = "digits.route"
"""The scope's key for the pattern that the path of a hot path's request matched."""


class Reply(NamedTuple):
    """What is answered, as a rule JSON."""

    body: bytes
    version: int | None = None
    """Of the model that answered, which is always with a 200; also a header."""
    batch: int | None = None
    """Pictures in the forward pass that answered."""
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = JSON

    @classmethod
    def of(cls, content: Any, status: int = 200) -> "Reply":
        """Something as JSON that no model has answered."""
        return cls(orjson.dumps(content), status=status)


HotPath = Callable[[Scope, Receive], Awaitable[Reply]]
"""Raises DigitsError for whatever else is to be answered."""
