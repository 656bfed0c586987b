"""The middleware around the router: trusted proxies, path prefix, CORS, API keys and default headers."""

import ipaddress
import logging
from typing import Any, cast

from starlette._utils import get_route_path
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app import errors
from app.asgi.api_keys import ErrorRenderers, KeyCheck
from app.asgi.headers import with_default_headers
from app.settings import Settings

_log = logging.getLogger(__name__)

_METHODS = ("GET", "HEAD", "POST")
_REQUEST_HEADERS = ("Authorization", "Content-Type", "X-API-Key", "X-Request-ID", "traceparent")
_REPLY_HEADERS = ("Retry-After", "X-Model-Version", "X-Request-ID")
_PREFLIGHT_SECONDS = 7200
"""How long a browser may remember a preflight reply. Chromium keeps it no longer than this."""


def wrap(app: ASGIApp, settings: Settings, error_renderers: ErrorRenderers) -> ASGIApp:
    """Return `app` wrapped in the middleware that the settings require. It is returned unchanged if they require none.

    Args:
        app: the router.
        settings: the settings of the service.
        error_renderers: how each dialect renders the refusal of a key.
    """
    wrapped = app
    if settings.api_keys:
        _log.info("requests need an API key (keys set: %d)", len(settings.api_keys))
        wrapped = KeyCheck(wrapped, settings, error_renderers)
    if settings.cors_origins:
        # CORS is outside the key check, because a preflight request has no key, and a page must be able to read a
        # refusal. `allow_credentials` is not needed: there are no cookies, and a key is an ordinary header.
        wrapped = CORSMiddleware(
            wrapped,
            allow_origins=settings.cors_origins,
            allow_methods=_METHODS,
            allow_headers=_REQUEST_HEADERS,
            expose_headers=_REPLY_HEADERS,
            max_age=_PREFLIGHT_SECONDS,
        )
    if settings.root_path:
        wrapped = PathPrefix(wrapped, settings.root_path)
    if settings.trusted_proxies:
        trusted = [spelling for network in settings.trusted_proxies for spelling in spellings(network)]
        wrapped = cast(ASGIApp, ProxyHeadersMiddleware(cast(Any, wrapped), trusted))
    return wrapped


class PathPrefix:
    """Removes the path prefix where the proxy has not removed it.

    Starlette's `root_path` does not fit. Behind a proxy that strips the prefix, a mounted application is not found.
    Behind a proxy that keeps the prefix, uvicorn's option adds it a second time.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        """Serve `app` below a prefix such as `/digits`."""
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            path = get_route_path(scope)  # without the prefix that `uvicorn --root-path` has added
            if path == self._prefix or path.startswith(f"{self._prefix}/"):
                path = path[len(self._prefix) :] or "/"
            scope["path"], scope["root_path"] = path, ""
        await self._app(scope, receive, send)


class PageHeaders:
    """Wraps FastAPI. It adds the default headers to replies, and answers HEAD like GET."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap a FastAPI application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # FastAPI's routes do not answer HEAD. The server omits the body of the reply.
        as_get = {**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope
        await self._app(as_get, receive, with_default_headers(send))
        for key in ("route", errors.REFUSAL):
            if key in as_get:
                scope[key] = as_get[key]


def spellings(network: str) -> list[str]:
    """Return a network as a server that listens on `0.0.0.0` sees it, and as one that listens on `::` does."""
    parsed = ipaddress.ip_network(network)
    if parsed.version == 6:
        return [network]
    return [network, f"::ffff:{parsed.network_address}/{96 + parsed.prefixlen}"]
