"""Send an OpenTelemetry span for each request to a collector.

FastAPI makes the span of an HTTP request, and `app.api.grpc` that of a call. The SDK, which sends them, is the extra
`tracing`, which is not installed by default.
"""

from typing import Any

from opentelemetry import trace

from app.telemetry.access_log import UNLOGGED, CompletedRequest


def provider_for(endpoint: str) -> Any:
    """Return a provider that sends spans by OTLP over HTTP, such as to `http://collector:4318/v1/traces`.

    The SDK reads more options from OTEL_... variables. Raises SystemExit if the extra `tracing` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - optional, takes 0.2 s to import
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as exc:
        raise SystemExit(
            "digits: MNIST_TRACES_ENDPOINT needs OpenTelemetry. "
            "Run: make .venv/.tracing, or uv tool install '.[cli,tracing]', "
            f'or docker build --build-arg EXTRAS="--extra tracing" ({exc})'
        ) from None
    provider = TracerProvider(resource=Resource.create({"service.name": "digits"}))
    exporter = OTLPSpanExporter(endpoint=endpoint, timeout=2)  # seconds; a stopping service waits at most twice as long
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def for_fastapi(provider: Any, prefix: str) -> dict[str, Any]:
    """Return FastAPI's parameter `telemetry`: one span for each request, except probes. No provider means no spans."""
    return {
        **dict.fromkeys(("metrics", "logs", "operation_spans", "auto_configure"), False),
        "tracing": provider is not None,
        "tracer_provider": provider,
        "exclude": lambda scope: scope["path"].removeprefix(prefix) in UNLOGGED,
    }


def describe(request: CompletedRequest) -> None:
    """Give the current span, if there is one, what the log says of a request, and the request the ids of its span."""
    span = trace.get_current_span()
    ids = span.get_span_context()
    if not ids.is_valid:
        return
    request.span = {"trace_id": trace.format_trace_id(ids.trace_id), "span_id": trace.format_span_id(ids.span_id)}
    span.update_name(f"{request.method} {request.route}" if request.route else request.method)
    attributes = {
        "http.request.method": request.method,
        "http.route": request.route,
        "http.response.status_code": request.status,
        "http.response.body.size": request.size,
        "digits.request_id": request.request_id.decode(),
        "digits.batch": request.batch,
        "digits.version": request.model and request.model.version,
    }
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
    if request.status >= 500:
        span.set_status(trace.StatusCode.ERROR)
