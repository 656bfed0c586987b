"""The floor for pictures: uvicorn reads a body, Pillow decodes it to grey, and the reply is a constant copy of ours."""

import io
from typing import Any

from PIL import Image

from benchmarks.peers.floor import send_constant

LARGE_SIDE = 1500
"""A JPEG with a longer side is decoded at half its size."""


def decode(data: bytes) -> None:
    """Decode a picture to 8-bit grey. A JPEG's colours are not even decoded."""
    picture = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
    divisor = 2 if max(picture.size) > LARGE_SIDE else 1
    picture.draft("L", (picture.width // divisor, picture.height // divisor))
    picture.convert("L")


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request, without a framework."""
    assert scope["type"] == "http"
    parts = []
    while True:
        message = await receive()
        parts.append(message["body"])
        if not message["more_body"]:
            break
    # On the event loop, because decoding in a thread took 1.1 to 1.2 times as long.
    decode(b"".join(parts))
    await send_constant(send)
