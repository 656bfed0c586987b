"""OpenTelemetry: a span for each request, sent to a collector where one is set.

Spans are made when requests have ended, of what the access log is made of, so that nothing is added to the path of a
request. They need the extra `tracing`, which serving itself does not install.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from app.telemetry.access_log import UNLOGGED, CompletedRequest

_TIMEOUT_SECONDS = 2
"""For an answer of the collector; it is waited for twice at the end, within the time that a container has to stop."""


class Spans(NamedTuple):
    """Where requests are told of."""

    record: Callable[[Iterable[CompletedRequest]], None]
    """Takes those that have ended; never waits."""
    close: Callable[[], None]
    """Sends what is left; waits for the collector, at most for some seconds."""


def spans_to(endpoint: str) -> Spans:
    """Those of a collector, by OTLP over HTTP; the SDK's own variables (OTEL_...) say the rest, such as headers.

    Args:
        endpoint: such as `http://collector:4318/v1/traces`.

    Raises:
        SystemExit: the extra is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - an extra, which takes 0.2 s to import
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415
    except ImportError as exc:
        raise SystemExit(
            f"digits: MNIST_TRACES_ENDPOINT needs the extra `tracing` (uv sync --extra tracing): {exc}"
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "digits"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_TIMEOUT_SECONDS)))
    tracer = provider.get_tracer("digits")
    w3c = TraceContextTextMapPropagator()

    def record(requests: Iterable[CompletedRequest]) -> None:
        now = time.time_ns()
        for ended in requests:
            if ended.scope is None or ended.scope["path"] in UNLOGGED:
                continue
            method = ended.scope["method"]
            told = {
                "http.request.method": method,
                "http.route": ended.route,
                "http.response.status_code": ended.status,
                "http.response.body.size": ended.size,
                "digits.request_id": ended.request_id.decode(),
                "digits.batch": ended.batch,
                "digits.version": ended.version,
            }
            span = tracer.start_span(
                f"{method} {ended.route}" if ended.route else method,
                context=w3c.extract({"traceparent": ended.traceparent.decode("latin-1")}),
                kind=SpanKind.SERVER,
                start_time=now - round(ended.seconds * 1e9),
                attributes={name: value for name, value in told.items() if value is not None},
            )
            if ended.status >= 500:
                span.set_status(StatusCode.ERROR)
            span.end(now)

    return Spans(record, provider.shutdown)
