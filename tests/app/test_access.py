"""The access log: a line a request, for machines or for a person."""

import json
import os
import pty
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from app.documentation import EXAMPLES
from tests.app.conftest import Service, StartService
from tests.conftest import REPOSITORY

RAW: dict[str, Any] = {
    "content": (EXAMPLES / "seven.bin").read_bytes(),
    "headers": {"content-type": "application/octet-stream"},
}


def lines(service: Service, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = [json.loads(line) for line in service.log.read_text().splitlines() if line.startswith("{")]
        if len(found) >= count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{count} lines were expected in\n{service.log.read_text()}")


def test_every_request_is_one_line_of_json(start_service: StartService) -> None:
    service = start_service().wait_until_ready()
    answers = [
        service.client.post("/predict", **RAW),
        service.client.post("/predict", params={"normalize": "never"}, **RAW),
        service.client.post("/predict", content=b"seven", headers={"content-type": "text/plain"}),
        service.client.get("/model"),
        service.client.get("/nothing\u2028here%1B%5B31m"),
    ]

    logged = lines(service, len(answers))

    assert [(line["method"], line["path"], line["status"], line["bytes"]) for line in logged] == [
        ("POST", "/predict", 200, len(answers[0].content)),
        ("POST", "/predict", 200, len(answers[1].content)),
        ("POST", "/predict", 415, len(answers[2].content)),
        ("GET", "/model", 200, len(answers[3].content)),
        ("GET", "/nothing%E2%80%A8here%1B%5B31m", 404, len(answers[4].content)),
    ]
    assert all(0 < line["ms"] < 10_000 for line in logged)
    assert all(line["time"].endswith("Z") for line in logged)
    assert "\x1b" not in service.log.read_text()


def test_a_failure_of_ours_is_logged_as_500(start_service: StartService, bare_checkout: Path) -> None:
    page = bare_checkout / "app" / "routes" / "page.py"
    page.write_text(page.read_text().replace('return _file(request, "index.html")', "raise RuntimeError('broken')"))
    service = start_service(cwd=bare_checkout)
    service.wait_for_status("/livez", 200)
    reply = service.client.get("/")

    logged = lines(service, 1)

    assert reply.status_code == 500
    assert (logged[0]["path"], logged[0]["status"]) == ("/", 500)


def test_a_person_at_a_terminal_gets_a_shorter_line(service: Service) -> None:
    watched, terminal = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MNIST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], cwd=REPOSITORY, env={**environment, "MNIST_PORT": "0"}, stderr=terminal
    )
    shown = ""
    try:
        while "http://" not in shown or "startup complete" not in shown:
            shown += os.read(watched, 10_000).decode()
        url = shown.partition("http://")[2].split()[0]
        with httpx.Client(transport=httpx.HTTPTransport(retries=5)) as client:  # it listens an instant later
            client.post(f"http://{url}/predict", **RAW)
        while "/predict" not in shown:
            shown += os.read(watched, 10_000).decode()
    finally:
        process.terminate()
        process.wait(20)
        os.close(terminal)
        os.close(watched)

    line = next(line for line in shown.splitlines() if "/predict" in line)
    _time, status, method, path, milliseconds, unit = line.split()
    assert (status, method, path, unit) == ("200", "POST", "/predict", "ms")
    assert float(milliseconds) > 0
