"""Traces, as a collector receives them."""

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.app.conftest import StartService, grpc_channel
from tests.app.dialects import RAW
from tests.conftest import SHIPPED_VERSION, fresh_python

pytestmark = pytest.mark.slow

METADATA = "/inference.GRPCInferenceService/ServerMetadata"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receive)
        self.spans: list[Span] = []

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1/traces"


class Receive(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
        self.server.spans += [span for of in sent.resource_spans for scope in of.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        yield collector
        collector.shutdown()


def attributes(span: Span) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def test_each_request_is_a_span(start_service: StartService, collector: Collector) -> None:
    service = start_service(MNIST_TRACES_ENDPOINT=collector.endpoint, MNIST_GRPC_PORT="0").wait_until_ready()
    before = time.time_ns()

    headers = RAW["headers"] | {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
    right = service.client.post("/predict", content=RAW["content"], headers=headers)
    wrong = service.client.post("/predict", content=b"?", headers={"content-type": "text/plain"})
    service.client.get("/livez")
    with grpc_channel(service) as channel:
        channel.unary_unary(METADATA)(b"", metadata=[("traceparent", f"00-{TRACE}-{PARENT}-01")])
    stopped = service.stop()

    assert (right.status_code, wrong.status_code, stopped) == (200, 415, 0)
    first, second, third = collector.spans  # probes have no span
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if '"request_id"' in line]
    assert [(line["trace_id"], line["span_id"], line.get("parent_id")) for line in lines] == [
        (TRACE, first.span_id.hex(), PARENT),
        (second.trace_id.hex(), second.span_id.hex(), None),
        (TRACE, third.span_id.hex(), PARENT),
    ]
    assert first.name == second.name == "POST /predict"
    assert third.name == f"POST {METADATA}"  # a gRPC call is an HTTP/2 request
    assert first.kind == Span.SPAN_KIND_SERVER
    assert (first.trace_id.hex(), first.parent_span_id.hex()) == (TRACE, PARENT)
    assert second.trace_id.hex() != TRACE
    assert not second.parent_span_id
    assert before <= first.start_time_unix_nano < first.end_time_unix_nano <= time.time_ns()
    expected = {
        "http.request.method": "POST",
        "http.route": "/predict",
        "http.response.status_code": 200,
        "http.response.body.size": len(right.content),
        "digits.request_id": "mine",
        "digits.batch": 1,
        "digits.version": SHIPPED_VERSION,
    }
    assert attributes(first).items() >= expected.items()
    assert attributes(second)["http.response.status_code"] == 415
    assert second.status.code == Status.STATUS_CODE_UNSET  # an error of the client is not one of the server


def test_without_the_extra_one_line_tells_what_to_install() -> None:
    hidden = "import sys; sys.modules['opentelemetry.exporter'] = None; from app.main import create_app; create_app()"

    ended = fresh_python("-c", hidden, environment={"MNIST_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"})

    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert (
        "Run: make .venv/.tracing, or uv tool install '.[cli,tracing]', "
        'or docker build --build-arg EXTRAS="--extra tracing"'
    ) in ended.stderr


def test_a_missing_collector_does_not_affect_the_service(start_service: StartService) -> None:
    service = start_service(MNIST_TRACES_ENDPOINT="http://127.0.0.1:9/v1/traces", OTEL_EXPORTER_OTLP_TIMEOUT="1")

    reply = service.wait_until_ready().client.post("/predict", **RAW)

    assert reply.status_code == httpx.codes.OK
    assert service.stop() == 0
    log = service.log.read_text()
    assert "Traceback" not in log
    about_the_collector = [line for line in log.splitlines() if "export" in line]
    assert about_the_collector
    assert all(json.loads(line)["level"] in {"WARNING", "ERROR"} for line in about_the_collector)
