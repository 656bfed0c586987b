"""Decide which requests are answered: those with a known API key, while not too many are in progress."""

import hashlib
import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import Overloaded, Unauthorized
from app.settings import Settings
from app.telemetry.access_log import UNLOGGED
from app.telemetry.accounting import Accounting
from app.telemetry.probes import PROBES

_PUBLIC = frozenset({"/", "/docs", "/openapi.json", *PROBES})
_PUBLIC_FOLDERS = ("/page/", "/docs/assets/", "/examples/")


def public_paths(settings: Settings) -> frozenset[str]:
    """Return the paths that need no key. The files of the pages need no key either."""
    return _PUBLIC | {"/metrics"} if settings.metrics_open else _PUBLIC


class Admission:
    """Checks a request before any of its body is read."""

    def __init__(self, settings: Settings, accounting: Accounting) -> None:
        """Use the keys of `settings`. If it has none, no request needs one."""
        self._known = settings.api_keys
        self._public = public_paths(settings)
        self._max_requests = settings.max_requests
        self._accounting = accounting

    def check(self, scope: Scope) -> None:
        """Check the number of requests in progress, and the key unless the path is public.

        Raises:
            Overloaded: too many requests are in progress, including this one. Probes and scrapes do not count.
            Unauthorized: it has no known key. The message is the same whether the key is missing or wrong.
        """
        path = scope["path"]
        if self._known and not (path in self._public or path.startswith(_PUBLIC_FOLDERS) or self._has_known_key(scope)):
            raise Unauthorized("expected a known API key, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`")
        if self._accounting.in_progress > self._max_requests and path not in UNLOGGED:
            raise Overloaded(f"{self._max_requests} requests are already in progress; try again later")

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


class AdmissionMiddleware:
    """Refuses requests that are not admitted."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        """Protect `app`."""
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Unauthorized and Overloaded."""
        if scope["type"] == "http":
            self._admission.check(scope)
        await self._app(scope, receive, send)
