"""What every request passes before the service, where it is set: trusted proxies, path prefix, CORS, API keys."""

import ipaddress
import logging
from typing import Any, cast

from starlette._utils import get_route_path
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.asgi.api_keys import KeyCheck
from app.settings import Settings
from app.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)

_METHODS = ("GET", "HEAD", "POST")
_MAY_SEND = ("Authorization", "Content-Type", "X-API-Key", "X-Request-ID", "traceparent")
_MAY_READ = ("Retry-After", "X-Model-Version", "X-Request-ID")
_PREFLIGHT_SECONDS = 7200
"""How long a browser need not ask again; Chromium keeps it no longer."""


def around(app: ASGIApp, settings: Settings, metrics: Metrics) -> ASGIApp | None:
    """`app` with what is set around it; None where nothing is, so that nothing is paid for it."""
    guarded = app
    if settings.api_keys:
        _log.info("requests need one of %d API keys", len(settings.api_keys))
        guarded = KeyCheck(guarded, settings, metrics)
    if settings.cors_origins:
        # Around the keys: a preflight cannot bring one, and a page is to be able to read that its key was refused.
        # Without credentials: there are no cookies, and a key is a header like others.
        guarded = CORSMiddleware(
            guarded,
            allow_origins=settings.cors_origins,
            allow_methods=_METHODS,
            allow_headers=_MAY_SEND,
            expose_headers=_MAY_READ,
            max_age=_PREFLIGHT_SECONDS,
        )
    if settings.root_path:
        guarded = Prefix(guarded, settings.root_path)
    if settings.trusted_proxies:
        trusted = [spelling for network in settings.trusted_proxies for spelling in spellings(network)]
        guarded = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, guarded), trusted))
    return None if guarded is app else guarded


class Prefix:
    """Takes the path prefix off where the proxy left it; no more is known of it but where a link is written.

    Starlette would have it in `root_path`, and then wants it in `path` too: what it mounts is not found below a
    proxy that strips it, and uvicorn's option adds it once more to the path of one that does not.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        """For `app`, below a prefix such as `/digits`."""
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = get_route_path(scope)  # without what `uvicorn --root-path` has added
        if path == self._prefix or path.startswith(f"{self._prefix}/"):
            path = path[len(self._prefix) :] or "/"
        scope["path"], scope["root_path"] = path, ""
        await self._app(scope, receive, send)


def spellings(network: str) -> list[str]:
    """A network as who listens on `0.0.0.0` sees it, and as who listens on `::` does."""
    parsed = ipaddress.ip_network(network)
    if parsed.version == 6:
        return [network]
    return [network, f"::ffff:{parsed.network_address}/{96 + parsed.prefixlen}"]
