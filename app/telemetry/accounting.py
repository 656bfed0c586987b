"""Give every request an id, and log and count it after its reply."""

import asyncio
import itertools
import re
import secrets
import time

from starlette.types import Scope

from app import errors
from app.settings import LogFormat
from app.telemetry.access_log import KEY_NAME, UNLOGGED, AccessLog, CompletedRequest
from app.telemetry.metrics import Metrics

CLIENT_CLOSED_REQUEST = 499
"""The status in the log when the client disconnected before the reply. nginx logs the same."""

_REQUEST_ID = re.compile(rb"[\w.:/+=@-]{1,128}", re.ASCII)
"""The request ids that a client may choose: letters, digits and signs that no log interprets."""


class Accounting:
    """Counts the requests in progress, and logs and counts the completed ones."""

    def __init__(self, metrics: Metrics, log_format: LogFormat) -> None:
        """Start without requests.

        Args:
            metrics: counts the completed requests.
            log_format: the format of the access log.
        """
        self.metrics = metrics
        self.in_progress = 0
        """Number of requests that are being answered, without probes and scrapes."""
        self._access_log = AccessLog(log_format)
        self._completed: list[CompletedRequest] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        # A new request id is the prefix of this process and a running number.
        self._prefix = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)

    def begin(self, scope: Scope, protocol: str) -> CompletedRequest:
        """Count a request as in progress, and give it its own id or a new one. Call `end` when it is answered."""
        if scope["path"] not in UNLOGGED:
            self.in_progress += 1
        request_id = traceparent = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                request_id = value
            elif name == b"traceparent":
                traceparent = value
        if not (request_id and _REQUEST_ID.fullmatch(request_id)):
            request_id = self._new_id()
        return CompletedRequest(protocol, scope, request_id, traceparent, seconds=-time.perf_counter())

    def end(self, request: CompletedRequest) -> None:
        """Log and count a request that was answered."""
        request.seconds += time.perf_counter()
        if request.scope["path"] not in UNLOGGED:
            self.in_progress -= 1
        self._log_and_count(request)

    def _new_id(self) -> bytes:
        return b"%b-%x" % (self._prefix, next(self._numbers))

    def _log_and_count(self, request: CompletedRequest) -> None:
        """Log and count a request at the end of this turn of the event loop, together with the other requests."""
        loop = asyncio.get_running_loop()
        if not self._completed or loop is not self._loop:  # the loop may have ended before its callback ran
            self._loop = loop
            loop.call_soon(self._log_and_count_all)
        self._completed.append(request)

    def _log_and_count_all(self) -> None:
        requests, self._completed = self._completed, []
        self._access_log.write(requests)
        for request in requests:
            if request.scope["path"] not in UNLOGGED:
                self.metrics.count_request(request.protocol, request.route, request.status, request.seconds)
            if KEY_NAME in request.scope:
                self.metrics.count_key(request.scope[KEY_NAME])
            if request.status >= 400 and (refusal := request.scope.get(errors.REFUSAL)):
                self.metrics.count_refusal(refusal)
