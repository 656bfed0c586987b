"""The access log: one line per request, as JSON or in a short form for a terminal."""

import asyncio
import json
import logging
import re

import httpx
import pytest

from app.inference.model_registry import ModelRegistry
from app.main import create_app
from app.settings import Settings
from app.telemetry.access_log import PROBES, CompletedRequest, log_lines
from tests.app.conftest import Service
from tests.app.dialects import RAW
from tests.conftest import SHIPPED_VERSION, fresh_python

TYPE, SEVEN = RAW["headers"], RAW["content"]


def test_every_request_is_one_line_of_json(service: Service) -> None:
    answers = [
        service.client.post("/predict?normalize=never", **RAW),
        service.client.post("/predict", content=b"seven", headers={"content-type": "text/plain"}),
        service.client.get("/model"),
        service.client.head("/model"),
        service.client.get("/nothing\u2028here%1B%5B31m"),
    ]

    logged = [service.wait_for_record(answer.headers["x-request-id"]) for answer in answers]

    fields = ("level", "method", "path", "route", "status", "bytes", "batch", "version")
    assert [tuple(line[name] for name in fields) for line in logged] == [
        ("INFO", "POST", "/predict", "/predict", 200, len(answers[0].content), 1, SHIPPED_VERSION),
        ("WARNING", "POST", "/predict", "/predict", 415, len(answers[1].content), None, None),
        ("INFO", "GET", "/model", "/model", 200, len(answers[2].content), None, None),
        ("INFO", "HEAD", "/model", "/model", 200, 0, None, None),
        ("WARNING", "GET", "/nothing%E2%80%A8here%1B%5B31m", None, 404, len(answers[4].content), None, None),
    ]
    assert all(line["ms"] > 0 for line in logged)
    assert all(line["time"].endswith("Z") for line in logged)
    log = service.log.read_text()
    assert all(json.loads(line).keys() >= {"time", "level", "message"} for line in log.splitlines())
    assert [log.count(line["request_id"]) for line in logged] == [1] * len(answers)
    assert "\x1b" not in log


def test_the_addresses_of_clients_can_be_left_out() -> None:
    request = CompletedRequest("http", "GET", "/", b"/", "10.0.0.1")

    line = log_lines([request], "json", log_clients=False)

    assert json.loads(line)["client"] is None


def test_probes_and_scrapes_are_neither_logged_nor_counted(service: Service) -> None:
    for path in (*(probe for probe in PROBES if "." not in probe), "/metrics"):  # the others are gRPC calls
        assert service.client.get(path, headers={"x-request-id": "a-probe"}).status_code == 200
    service.client.get("/nothing", headers={"x-request-id": "after-the-probes"})
    service.wait_for_line("(after-the-probes)")

    assert "a-probe" not in service.log.read_text()
    counted = set(re.findall(r'route="(.*?)"', service.client.get("/metrics").text))
    assert counted >= {"/predict", "other"}
    assert counted & {*PROBES, "/metrics"} == set()


@pytest.mark.parametrize("name", ["a b", '"},{"', "x" * 129, "ä", ""])
def test_a_request_id_that_a_log_might_misread_is_replaced(service: Service, name: str) -> None:
    reply = service.client.post("/predict", headers={**TYPE, "x-request-id": name.encode()}, content=SEVEN)

    assert re.fullmatch("[0-9a-f]{12}-[0-9a-f]+", reply.headers["x-request-id"])


def test_a_trace_id_is_logged(service: Service) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"

    for traceparent in (f"00-{trace}-{parent}-01", f"00-{trace}-{parent}", "00-'; drop table spans"):
        headers = {**TYPE, "traceparent": traceparent, "x-request-id": f"traced-{len(traceparent)}"}
        service.client.post("/predict", headers=headers, content=SEVEN)

    traced = service.wait_for_record("traced-55")
    assert (traced["trace_id"], traced["parent_id"]) == (trace, parent)
    for malformed in ("traced-52", "traced-22"):
        assert "trace_id" not in service.wait_for_record(malformed)


def test_of_what_a_client_sends_only_path_and_ids_are_logged(service: Service) -> None:
    secret = "hunter2-and-more"
    headers = {"content-type": "application/json", "authorization": f"Bearer {secret}", "cookie": secret}

    service.client.post("/predict?normalize=" + secret, headers=headers, json={"pixels": secret})
    service.client.post("/predict", headers={**headers, "x-request-id": "last-one"}, json={secret: secret})
    service.wait_for_line('("last-one")')

    assert secret not in service.log.read_text()


def test_a_bug_is_a_logged_500(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    monkeypatch.setattr(logging.getLogger("app"), "handlers", [])  # an earlier test's writes to that test's stderr
    app = create_app(Settings(log_format="json"))
    monkeypatch.setattr(ModelRegistry, "classifier", None)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://digits") as client:
            return await client.get("/model", headers={"x-request-id": "unlucky"})

    reply = asyncio.run(ask())

    assert (reply.status_code, reply.headers["x-request-id"]) == (500, "unlucky")
    assert reply.json()["detail"] == "the service failed; this is a bug in the service, not in your request"
    bug, request = map(json.loads, capfdbinary.readouterr().err.splitlines())
    assert (bug["level"], request["level"]) == ("ERROR", "ERROR")
    assert "AttributeError" in bug["exception"]


def test_a_bug_that_ends_the_service_is_one_line_of_json_too() -> None:
    ended = fresh_python("-c", "from app.telemetry.logs import last_line\nwith last_line(None): 1 / 0")

    line = json.loads(ended.stderr)
    assert (ended.returncode, line["level"]) == (1, "CRITICAL")
    assert "ZeroDivisionError" in line["exception"]
