"""The floor: uvicorn reads a body and sends a constant reply, which is a copy of the service's reply."""

import json
import os
from typing import Any

_reply = json.loads(os.environ["FLOOR_REPLY"])
_body = _reply["body"].encode()
_headers = [(name.lower().encode(), value.encode()) for name, value in _reply["headers"]]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer every request, without a framework."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await send_constant(send)


async def send_constant(send: Any) -> None:
    """Send the reply."""
    await send({"type": "http.response.start", "status": 200, "headers": _headers})
    await send({"type": "http.response.body", "body": _body})
