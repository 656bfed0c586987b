"""An endpoint without a framework, for paths that are requested thousands of times a second."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app import errors
from app.asgi.headers import with_default_headers
from app.asgi.in_work import RequestsInWork
from app.asgi.reply import Reply
from app.errors import WrongMethod

Handler = Callable[[Scope, Receive], Awaitable[Reply]]
"""Answers one request. Any DigitsError that it raises is rendered as an error reply."""

ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")

CLIENT_CLOSED_REQUEST = 499
"""The status that nginx logs for a client that went away. Nobody receives it."""


class Endpoint:
    """An ASGI application that answers each HTTP method with the reply of a handler.

    A FastAPI route takes 24 us for this, as long as the network itself (`python -m benchmarks.speed.dispatch`).
    """

    def __init__(
        self,
        handlers: Mapping[str, Handler],
        in_work: RequestsInWork,
        render_error: Callable[[Exception], Response] = errors.problem_response,
    ) -> None:
        """Answer with one handler for each HTTP method.

        Args:
            handlers: HTTP method to handler. HEAD is answered as GET is.
            in_work: refuses a POST when too many requests are in progress.
            render_error: turns an exception into the dialect's error reply.
        """
        self._handlers = dict(handlers)
        if "GET" in handlers:
            self._handlers.setdefault("HEAD", handlers["GET"])
        self._in_work = in_work
        self._render_error = render_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method = scope["method"]
        try:
            handler = self._handlers.get(method)
            if handler is None:
                allowed = ", ".join(sorted(self._handlers))
                raise WrongMethod(f"expected {allowed}, received {method[:40]}", allowed)
            if method == "POST":
                self._in_work.check()
            reply: Reply = await handler(scope, receive)
        except ClientDisconnect:
            await send({"type": "http.response.start", "status": CLIENT_CLOSED_REQUEST, "headers": []})
        except Exception as exc:  # noqa: BLE001 - an exception that is not a DigitsError is a bug, and answered as a 500
            errors.record(scope, exc)
            await self._render_error(exc)(scope, receive, with_default_headers(send))
        else:
            await reply(scope, receive, send)
