"""Send an OpenTelemetry span for each request to a collector.

Spans are made from completed requests, like the access log, so that they do not delay a reply. They need the extra
`tracing`, which is not installed by default.
"""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from app.telemetry.access_log import UNLOGGED, CompletedRequest, SpanIds

_TIMEOUT_SECONDS = 2
"""How long the collector may take to reply. A stopping service waits at most twice this long."""


class Spans(NamedTuple):
    """A connection to a collector."""

    record: Callable[[Iterable[CompletedRequest]], None]
    """Queues the spans of completed requests, and sets the ids of their spans. It never waits."""
    close: Callable[[], None]
    """Sends the queued spans. It waits at most a few seconds for the collector."""


def spans_to(endpoint: str) -> Spans:
    """Connect to a collector by OTLP over HTTP. The SDK reads more options, such as headers, from OTEL_... variables.

    Args:
        endpoint: the collector's URL, such as `http://collector:4318/v1/traces`.

    Raises:
        SystemExit: the extra `tracing` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - optional, takes 0.2 s to import
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415
    except ImportError as exc:
        raise SystemExit(
            "digits: MNIST_TRACES_ENDPOINT needs OpenTelemetry. "
            "Run: make .venv/.tracing, or uv tool install '.[tracing]', "
            f'or docker build --build-arg EXTRAS="--extra tracing" ({exc})'
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "digits"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_TIMEOUT_SECONDS)))
    tracer = provider.get_tracer("digits")
    w3c = TraceContextTextMapPropagator()

    def record(requests: Iterable[CompletedRequest]) -> None:
        now = time.time_ns()
        for request in requests:
            if request.scope["path"] in UNLOGGED:
                continue
            method = request.scope["method"]
            attributes = {
                "http.request.method": method,
                "http.route": request.route,
                "http.response.status_code": request.status,
                "http.response.body.size": request.size,
                "digits.request_id": request.request_id.decode(),
                "digits.batch": request.batch,
                "digits.version": request.model and request.model.version,
            }
            span = tracer.start_span(
                f"{method} {request.route}" if request.route else method,
                context=w3c.extract({"traceparent": request.traceparent.decode("latin-1")}),
                kind=SpanKind.SERVER,
                start_time=now - round(request.seconds * 1e9),
                attributes={name: value for name, value in attributes.items() if value is not None},
            )
            if request.status >= 500:
                span.set_status(StatusCode.ERROR)
            span.end(now)
            ids = span.get_span_context()
            request.span = SpanIds(format_trace_id(ids.trace_id), format_span_id(ids.span_id))

    return Spans(record, provider.shutdown)
