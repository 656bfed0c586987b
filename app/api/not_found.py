"""Answer a request for an unknown path in its dialect."""

from starlette.types import Receive, Scope, Send

from app.api.open_inference import routes as open_inference
from app.api.tensorflow_serving import routes as tensorflow_serving
from app.errors import nothing_here

_BY_FIRST_PART = {"v1": tensorflow_serving.no_such_path, "v2": open_inference.no_such_path}


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Raise NotFound, or NotOffered for an operation that a protocol defines and the service does not offer."""
    if scope["type"] == "websocket":  # some other servers accept them
        await scope["router"].not_found(scope, receive, send)
        return
    first_part = scope["path"][1:].partition("/")[0]
    raise _BY_FIRST_PART.get(first_part, nothing_here)(scope)
