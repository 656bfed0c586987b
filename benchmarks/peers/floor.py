"""The floor: what uvicorn alone takes to read a body and send a reply of our size, with nothing done in between."""

from typing import Any

_REPLY = (
    b'{"digit":7,"probability":0.99999905,"probabilities":[9.437396e-10,2.4651519e-7,4.5527355e-7,2.1934925e-7,'
    b'5.237573e-11,3.3698804e-11,2.1672992e-16,0.99999905,3.850896e-11,8.116452e-9],"preprocessing":[],'
    b'"model":{"name":"mnist-dense","version":1}}'
)
_HEADERS = [(b"content-length", str(len(_REPLY)).encode()), (b"content-type", b"application/json")]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI, without a framework."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _REPLY})
