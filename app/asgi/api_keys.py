"""Check API keys. A request for any path that is not public must have a known key."""

import hashlib
import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Unauthorized
from app.settings import Settings
from app.telemetry.probes import PROBES

_PUBLIC = frozenset({"/", "/docs", "/openapi.json", *PROBES})
_PUBLIC_FOLDERS = ("/page/", "/docs/assets/", "/examples/")


def public_paths(settings: Settings) -> frozenset[str]:
    """Return the paths that need no key. The files of the pages need no key either."""
    return _PUBLIC | {"/metrics"} if settings.metrics_open else _PUBLIC


class ApiKeys:
    """The keys that the service knows, as digests."""

    def __init__(self, settings: Settings) -> None:
        """Use the keys of `settings`. If it has none, every request is allowed."""
        self._known = settings.api_keys
        self._public = public_paths(settings)

    def check(self, scope: Scope) -> None:
        """Check the key of a request, unless its path is public.

        Raises:
            Unauthorized: it has no known key. The message is the same whether the key is missing or wrong.
        """
        path = scope["path"]
        if not self._known or path in self._public or path.startswith(_PUBLIC_FOLDERS) or self._has_known_key(scope):
            return
        raise Unauthorized("expected a known API key, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`")

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


class KeyCheck:
    """Middleware that refuses a request without a known key before any of its body is read."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        """Protect `app` with the keys of `settings`."""
        self._app = app
        self._keys = ApiKeys(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Unauthorized."""
        if scope["type"] == "http":
            self._keys.check(scope)
        await self._app(scope, receive, send)
