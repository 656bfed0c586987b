"""The floors: uvicorn reads a body, and for `decode_app` Pillow decodes it. The reply is a constant copy of ours."""

import io
import json
import os
from typing import Any

from PIL import Image

LARGE_SIDE = 1500
"""A JPEG with a longer side is decoded at half its size."""

_reply = json.loads(os.environ["FLOOR_REPLY"])
_body = _reply["body"].encode()
_headers = [(name.lower().encode(), value.encode()) for name, value in _reply["headers"]]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request, without a framework."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await _send_constant(send)


async def decode_app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request after decoding its picture, without a framework."""
    assert scope["type"] == "http"
    parts = []
    while True:
        message = await receive()
        parts.append(message["body"])
        if not message["more_body"]:
            break
    # On the event loop, because decoding in a thread took 1.1 to 1.2 times as long.
    _decode(b"".join(parts))
    await _send_constant(send)


def _decode(data: bytes) -> None:
    """Decode a picture to 8-bit grey. A JPEG's colours are not even decoded."""
    picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    divisor = 2 if max(picture.size) > LARGE_SIDE else 1
    picture.draft("L", (picture.width // divisor, picture.height // divisor))
    picture.convert("L")


async def _send_constant(send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _headers})
    await send({"type": "http.response.body", "body": _body})
