"""The reply of an endpoint: bytes with their status and headers."""

from typing import Any, NamedTuple

import orjson
from starlette.types import Message, Receive, Scope, Send

JSON = ((b"content-type", b"application/json"),)

NOSNIFF = (b"x-content-type-options", b"nosniff")

WHOLE_RESPONSE = "digits.whole_response"
"""The scope has this ASGI extension on our server: `http.response.start` may have the key "body", the whole body.

The server then sends the response in one write, which saves a system call of 5 us for each request
(`python -m benchmarks.speed.requests`). Middleware that changes the headers need not know the extension.
"""

REPLY = "digits.reply"
"""The scope's key for the `Reply` that was sent, so that the log knows the model version and the batch size."""


class Reply(NamedTuple):
    """A reply that is complete when it is sent, JSON unless its headers say otherwise."""

    body: bytes
    version: int | None = None
    """The model version that answered. It is also sent as a header."""
    batch: int | None = None
    """The number of pictures in the forward pass that answered."""
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = JSON

    @classmethod
    def of(cls, content: Any, status: int = 200) -> "Reply":
        """Encode content that no model produced, such as metadata, as JSON."""
        return cls(orjson.dumps(content), status=status)

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the reply, as a Starlette response does."""
        scope[REPLY] = self
        # A JSON reply needs only one security header: no browser renders it, and each header costs 0.4 us.
        headers = [*self.headers, (b"content-length", b"%d" % len(self.body)), NOSNIFF]
        if self.version is not None:
            headers.append((b"x-model-version", b"%d" % self.version))
        start: Message = {"type": "http.response.start", "status": self.status, "headers": headers}
        if WHOLE_RESPONSE in scope.get("extensions", ()):
            start["body"] = self.body
            await send(start)
        else:
            await send(start)
            await send({"type": "http.response.body", "body": self.body})
