"""Check API keys. A request for any path that is not public must have a known key."""

import hashlib
import hmac
from collections.abc import Callable, Mapping

from starlette._utils import get_route_path
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app import errors
from app.asgi.headers import with_default_headers
from app.errors import Unauthorized
from app.settings import Settings
from app.telemetry.probes import PROBES

_PUBLIC = frozenset({"/", "/docs", "/openapi.json", *PROBES})
_PUBLIC_FOLDERS = ("/page/", "/docs/assets/", "/examples/")

ErrorRenderers = Mapping[str, Callable[[Exception], Response]]
"""The first part of a path, such as `v2`, to the function that renders an error below it."""


def public_paths(settings: Settings) -> frozenset[str]:
    """Return the paths that need no key. The files of the pages need no key either."""
    return _PUBLIC | {"/metrics"} if settings.metrics_open else _PUBLIC


class KeyCheck:
    """Refuses a request without a known key before any of its body is read."""

    def __init__(self, app: ASGIApp, settings: Settings, error_renderers: ErrorRenderers) -> None:
        """Protect `app` with the keys of `settings`."""
        self._app = app
        self._known = settings.api_keys
        self._public = public_paths(settings)
        self._error_renderers = error_renderers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = get_route_path(scope)  # the router uses the same function
        if path in self._public or path.startswith(_PUBLIC_FOLDERS) or self._has_known_key(scope):
            await self._app(scope, receive, send)
            return
        # The message is the same whether the key is missing or wrong.
        error = Unauthorized("expected a known API key, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`")
        errors.record(scope, error)
        render_error = self._error_renderers.get(path[1:].partition("/")[0], errors.problem_response)
        await render_error(error)(scope, receive, with_default_headers(send))

    def _has_known_key(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        presented = headers.get(b"x-api-key", b""), bearer.strip() if scheme.lower() == b"bearer" else b""
        known = False
        for digest in [hashlib.sha256(key).digest() for key in presented]:
            # Compare with all keys, so that the time does not reveal which one matched.
            for known_digest in self._known:
                known |= hmac.compare_digest(digest, known_digest)
        return known
