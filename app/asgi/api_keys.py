"""API keys: what is not open to everyone is answered to whoever brings a known one."""

import hashlib
import hmac

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from app import errors
from app.asgi import headers as security_headers
from app.errors import Unauthorized
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.probes import PROBES

_OPEN = frozenset({"/", "/docs", "/openapi.json", *PROBES})
_OPEN_FOLDERS = ("/page/", "/docs/assets/", "/examples/")


def open_paths(settings: Settings) -> frozenset[str]:
    """What needs no key, besides the files of the pages: it holds no data. Whatever is not named here needs one."""
    return _OPEN | {"/metrics"} if settings.metrics_open else _OPEN


class KeyCheck:
    """In front of the service: a request without a known key is refused before anything of its body is read."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        """Let through to `app` what brings one of the keys of `settings`; `metrics` counts the others."""
        self._app = app
        self._metrics = metrics
        self._known = settings.api_keys
        self._open = open_paths(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = get_route_path(scope)  # the very one that the router goes by
        if path in self._open or path.startswith(_OPEN_FOLDERS) or self._knows(scope):
            await self._app(scope, receive, send)
            return
        # The same words whether it is missing or wrong.
        unauthorized = Unauthorized("expected a known API key, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`")
        self._metrics.refused(errors.name(unauthorized))
        refusal = errors.reply_to(unauthorized, path)
        await refusal(scope, receive, security_headers.completing(send))

    def _knows(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        presented = headers.get(b"x-api-key", b""), bearer.strip() if scheme.lower() == b"bearer" else b""
        known = False
        for digest in [hashlib.sha256(key).digest() for key in presented]:
            for one in self._known:  # all of them: the time does not tell which it was
                known |= hmac.compare_digest(digest, one)
        return known
