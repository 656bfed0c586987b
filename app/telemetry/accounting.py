"""Give every request an id, and log and count it after its reply."""

import asyncio
import itertools
import logging
import re
import secrets
import time
from collections.abc import Collection
from ipaddress import ip_network

from app import errors
from app.settings import LogFormat, Settings
from app.telemetry.access_log import UNLOGGED, CompletedRequest, log_lines
from app.telemetry.metrics import Metrics
from app.telemetry.stderr import STDERR
from app.telemetry.trusted_proxies import client_of
from digits.errors import DigitsError

CLIENT_CLOSED_REQUEST = 499
"""The status in the log when the client disconnected before the reply. nginx logs the same."""

_log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[\w.:/+=@-]{1,128}", re.ASCII)
"""The request ids that a client may choose: letters, digits and signs that no log interprets."""


class Accounting:
    """Counts the requests in progress, and logs and counts the completed ones."""

    def __init__(self, metrics: Metrics, log_format: LogFormat, settings: Settings) -> None:
        """Count and log requests. The log has their clients, as trusted proxies name them, if `settings` say so."""
        self.metrics = metrics
        self.in_progress = 0
        """Number of requests that are being answered, without probes and scrapes."""
        self._log_format, self._log_clients = log_format, settings.log_clients
        self._proxies = [ip_network(network) for network in settings.trusted_proxies]
        self._completed: list[CompletedRequest] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        # A new request id is the prefix of this process and a running number.
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)

    def begin(self, request: CompletedRequest, headers: Collection[tuple[bytes, bytes]]) -> None:
        """Count a request as in progress, and give it its own id or a new one. Call `end` when it is answered.

        Its client, until now the peer of its connection, becomes the one that trusted proxies name.
        """
        if request.path not in UNLOGGED:
            self.in_progress += 1
        request.client = client_of(request.client, headers, self._proxies)
        by_name = dict(headers)
        request.traceparent = by_name.get(b"traceparent", b"")
        request.request_id = by_name.get(b"x-request-id", b"")
        if not _REQUEST_ID.fullmatch(request.request_id):
            request.request_id = b"%b-%x" % (self._prefix, next(self._numbers))
        request.seconds = -time.perf_counter()

    def record_error(self, request: CompletedRequest, exc: Exception) -> None:
        """Note the error that a request is answered with. The traceback of a bug is logged."""
        if isinstance(exc, DigitsError):
            request.refusal = errors.name(type(exc))
        else:
            _log.error("%s %s failed", request.method, request.path, exc_info=exc)

    def end(self, request: CompletedRequest) -> None:
        """Log and count a request at the end of this turn of the event loop, together with the other requests."""
        request.seconds += time.perf_counter()
        if request.path not in UNLOGGED:
            self.in_progress -= 1
        loop = asyncio.get_running_loop()
        if not self._completed or loop is not self._loop:  # the loop may have ended before its callback ran
            self._loop = loop
            loop.call_soon(self._log_and_count_all)
        self._completed.append(request)

    def _log_and_count_all(self) -> None:
        requests, self._completed = self._completed, []
        # One write for all of them, because a `logging` call for each takes 20 us.
        if lines := log_lines(requests, self._log_format, log_clients=self._log_clients):
            STDERR.write_lines(lines)
        for request in requests:
            if request.path not in UNLOGGED:
                self.metrics.count_request(request.protocol, request.route, request.status, request.seconds)
            if request.key_name:
                self.metrics.key_requests.labels(request.key_name).inc()
            if request.status >= 400 and request.refusal:
                self.metrics.refusals.labels(request.refusal, request.status).inc()
            elif request.status < 400:
                for error in request.picture_errors:
                    self.metrics.refusals.labels(errors.name(type(error)), errors.STATUS[type(error)]).inc()
