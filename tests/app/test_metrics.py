"""`/metrics` counts what clients sent and received, whichever worker answers, even if a worker was killed."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.metrics import BatchedHistogram
from app.telemetry.probes import PROBES
from app.telemetry.shared_metrics import shared_folder
from digits.model import artifact
from digits.model.drift import EDGES
from tests.app.conftest import START_SECONDS, Service, workers_of
from tests.app.dialects import RAW
from tests.conftest import SHIPPED_VERSION

pytestmark = pytest.mark.slow

SEVEN, RAW_TYPE = RAW["content"], RAW["headers"]["content-type"]
HALF = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf"
Counts = Counter[tuple[str, ...]]
"""Number of events by the values of the labels."""


class Scrape:
    """A reply of `/metrics`, read by prometheus_client's parser."""

    def __init__(self, client: httpx.Client) -> None:
        reply = client.get("/metrics")
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        self.text = reply.text
        self.worker = reply.headers["x-request-id"].partition("-")[0]
        self.samples = [sample for family in text_string_to_metric_families(reply.text) for sample in family.samples]

    def of(self, name: str, *labels: str) -> Counts:
        """Return the values that are not zero. Each must be a whole number."""
        found: Counts = Counter()
        for sample in self.samples:
            if sample.name == name and sample.value:
                assert sample.value.is_integer()
                found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
        return found

    def value(self, name: str) -> float:
        """Return the value of the only series with this name."""
        (value,) = (sample.value for sample in self.samples if sample.name == name)
        return value

    def requests(self) -> Counts:
        return self.of("digits_request_seconds_count", "route", "status")

    def processes(self) -> int:
        return self.of("digits_model_info", "version").total()

    def all(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return the value of each series, without what changes by itself: processor time, memory and open files."""
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for sample in self.samples
            if not sample.name.startswith("process_") or sample.name == "process_start_time_seconds"
        }


class Client:
    """Sends requests and counts them, as `/metrics` should."""

    def __init__(self) -> None:
        self.requests: Counts = Counter()
        self.refusals: Counts = Counter()
        self.digits: Counts = Counter()
        self.probabilities: list[float] = []
        self.pictures: list[int] = []

    def send(self, client: httpx.Client, method: str, url: str, route: str = "", **body: Any) -> None:
        reply = client.request(method, url, **body)
        self.requests[route or url.partition("?")[0], str(reply.status_code)] += 1
        reply_body = reply.json()
        if reply.is_success and method == "POST":
            predictions = reply_body.get("predictions", [reply_body])
            self.digits.update((str(prediction["digit"]),) for prediction in predictions)
            self.probabilities += [prediction["probability"] for prediction in predictions]
            self.pictures.append(len(predictions))
        elif reply.status_code in (404, 405):
            self.refusals["not-found" if reply.status_code == 404 else "wrong-method",] += 1
        elif reply_body.get("type", "about:blank") != "about:blank":
            self.refusals[(reply_body["type"].removeprefix("urn:digits:"),)] += 1

    def send_a_mix(self, client: httpx.Client, pictures: list[bytes]) -> None:
        """Send requests that are answered, that are refused, and for other paths. Only one needs two forward passes."""
        for digit, picture in enumerate(pictures):
            for _ in range(1 + digit % 3):
                self.post(client, "image/png", picture)
        self.send(client, "POST", "/predict", files=[("file", ("a.png", picture)) for picture in pictures])
        self.post(client, RAW_TYPE, SEVEN * 3)
        self.post(client, RAW_TYPE, SEVEN * 250)  # two passes, of 128 and 122
        for content in (SEVEN[1:], bytes(784), bytes(784 * 1025), bytes(16 * 1024 * 1024 + 1)):
            self.post(client, RAW_TYPE, content, "?normalize=always")
        self.post(client, RAW_TYPE, SEVEN, "?normalise=always")
        for content in (b"{", b"[", b'{"pixels": [1, 2]}'):
            self.post(client, "application/json", content)
        self.post(client, "image/png", b"seven")
        self.post(client, "text/plain", b"seven")
        for path in ("/predictions", "/predict/", "/metrics/x"):
            self.send(client, "POST", path, route="other")
        self.send(client, "GET", "/predict")
        self.send(client, "DELETE", "/model")
        self.send(client, "GET", "/model")
        self.send(client, "GET", "/model/report/nothing.md", route="/model/report/{name}")

    def post(self, client: httpx.Client, kind: str, content: bytes, query: str = "") -> None:
        self.send(client, "POST", f"/predict{query}", content=content, headers={"content-type": kind})


def scraped_when(client: httpx.Client, holds: Callable[[Scrape], bool]) -> Scrape:
    """Return the first scrape for which `holds` is true. Another worker may count a moment after its reply."""
    deadline = time.monotonic() + START_SECONDS
    while not holds(scrape := Scrape(client)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return scrape


def both_workers(service: Service) -> list[psutil.Process]:
    assert scraped_when(service.client, lambda scrape: scrape.processes() == 2).processes() == 2
    return workers_of(service)


@contextmanager
def client_of(worker: psutil.Process, url: str) -> Iterator[httpx.Client]:
    """Give a client whose connection this worker has. The supervisor hands connections to all workers in turn."""
    with ExitStack() as clients:
        for _ in range(20):
            client = clients.enter_context(httpx.Client(base_url=url, timeout=60))
            stream = client.get("/metrics").extensions["network_stream"]
            _host, port = stream.get_extra_info("client_addr")
            if any(connection.raddr and connection.raddr.port == port for connection in worker.net_connections()):
                yield client
                return
        pytest.fail("the worker got none of 20 connections")


@pytest.mark.parametrize("workers", [pytest.param(1, id="one worker"), pytest.param(2, id="two workers")])
def test_each_metric_counts_what_the_client_sent(
    request: pytest.FixtureRequest, digit_pictures: list[bytes], workers: int
) -> None:
    service: Service = request.getfixturevalue("service" if workers == 1 else "two_workers")
    processes = [psutil.Process(service.process.pid)] if workers == 1 else both_workers(service)
    before, sent = Scrape(service.client), Client()

    for process in processes:
        with client_of(process, service.url) as client:
            sent.send_a_mix(client, digit_pictures)

    after = scraped_when(service.client, lambda scrape: scrape.requests() - before.requests() == sent.requests)

    def counted(name: str, *labels: str) -> Counts:
        return after.of(name, *labels) - before.of(name, *labels)

    def added(name: str) -> float:
        return after.value(name) - before.value(name)

    assert after.requests() - before.requests() == sent.requests
    assert counted("digits_refusals_total", "reason") == sent.refusals
    assert len(sent.refusals) == 10
    assert counted("digits_predictions_total", "digit") == sent.digits
    assert len(sent.digits) == 10
    assert added("digits_probability_count") == len(sent.probabilities)
    assert added("digits_probability_sum") == pytest.approx(sum(sent.probabilities))
    assert added("digits_ink_count") == len(sent.probabilities)
    assert added("digits_novelty_count") == len(sent.probabilities)
    assert added("digits_pass_pictures_count") == len(sent.pictures) + workers
    assert added("digits_pass_pictures_sum") == sum(sent.pictures)
    assert counted("digits_pass_pictures_bucket", "le")["1.0",] == sent.pictures.count(1)
    assert added("digits_queue_seconds_count") == len(sent.pictures) + workers
    assert added("digits_queue_seconds_sum") > 0
    drifted = {sample.labels["of"] for sample in after.samples if sample.name == "digits_drift_psi"}
    assert workers == 1 or drifted == EDGES.keys()  # with enough pictures, of both workers


@example([])
@example([0.0005, 0.00050001, 60, 61])
@given(st.lists(st.floats(0, 100)))
def test_a_batched_histogram_has_the_values_of_a_plain_one(values: list[float]) -> None:
    plain, batched = (Histogram("a", "b", buckets=(0.0005, 1, 60), registry=None) for _ in range(2))
    batch = BatchedHistogram(batched)

    for value in values:
        plain.observe(value)
    batch.observe_all(values)
    batch.flush()
    batch.flush()

    expected, samples = (
        [sample for metric in each.collect() for sample in metric.samples] for each in (plain, batched)
    )
    assert [(sample.name, sample.labels) for sample in samples] == [(each.name, each.labels) for each in expected]
    assert [sample.value for sample in samples] == pytest.approx([each.value for each in expected])


def test_probes_and_scrapes_are_not_counted(service: Service) -> None:
    for path in (*(probe for probe in PROBES if "." not in probe), "/metrics"):  # the others are gRPC calls
        assert service.client.get(path).status_code == 200

    assert {route for route, _ in Scrape(service.client).requests()} & {*PROBES, "/metrics"} == set()


def test_no_client_can_make_series(service: Service) -> None:
    before = Scrape(service.client)

    for number in range(10):
        service.client.request("PROPFIND" if number % 2 else "GET", f"/odd-{number}?odd={number}")
        service.client.get(f"/model/report/odd-{number}")
        service.client.get("/livez", headers={"x-request-id": "odd" * 10_000, "user-agent": "odd" * 10_000})
        service.client.post("/predict", content=SEVEN, headers={"content-type": f"odd/{number}"})
        reply = service.send_bytes(b"ODD-%d /odd HTTP/1.1\r\nHost: odd-%d\r\n\r\n" % (number, number))
        assert reply.startswith(b"HTTP/1.1 400 ")

    after = Scrape(service.client)
    assert after.requests()["other", "404"] - before.requests()["other", "404"] == 10
    assert "odd" not in after.text.lower()
    new = [dict(labels) for _, labels in after.all().keys() - before.all().keys()]
    known = {"other": ("400", "404"), "/model/report/{name}": ("404",), "/predict": ("415",)}
    assert all(labels["status"] in known[labels["route"]] for labels in new)


def test_a_killed_worker_is_replaced_and_its_counts_remain(two_workers: Service) -> None:
    victim, survivor = both_workers(two_workers)
    before = Scrape(two_workers.client)
    serving: list[int] = []

    def answered(scrape: Scrape) -> int:
        return (scrape.requests() - before.requests())["/predict", "200"]

    def replaced(scrape: Scrape) -> bool:
        serving.append(scrape.processes())
        return 1 in serving and serving[-1] == 2

    with client_of(victim, two_workers.url) as client:
        for _ in range(20):
            client.post("/predict", **RAW)
        scraped_when(client, lambda scrape: answered(scrape) == 20)
        with two_workers.connect() as half, client_of(survivor, two_workers.url) as other:
            half.sendall(HALF)
            scraped_when(other, lambda scrape: scrape.value("digits_requests_in_work") == 1)
            victim.kill()
            after = scraped_when(other, replaced)
    after = scraped_when(two_workers.client, lambda scrape: not scrape.value("digits_requests_in_work"))

    loads = after.of("digits_model_loads_total", "outcome") - before.of("digits_model_loads_total", "outcome")
    sevens = after.of("digits_predictions_total", "digit") - before.of("digits_predictions_total", "digit")
    assert set(serving) == {1, 2}
    assert (answered(after), sevens, loads) == (20, {("7",): 20}, {("served",): 1})
    assert after.value("digits_ready") == 1
    assert after.value("process_start_time_seconds") > before.value("process_start_time_seconds")
    assert after.value("process_cpu_seconds_total") > before.value("process_cpu_seconds_total")


def test_the_empty_file_of_a_starting_worker_is_skipped(two_workers: Service) -> None:
    empty = Path(both_workers(two_workers)[0].environ()["PROMETHEUS_MULTIPROC_DIR"]) / "counter_1.db"
    empty.touch()

    scrape = Scrape(two_workers.client)

    empty.unlink()
    graph = artifact.read_manifest(artifact.SHIPPED / artifact.NAME / str(SHIPPED_VERSION)).graph
    assert scrape.of("digits_model_info", "version", "graph") == {(str(SHIPPED_VERSION), graph): 2}


def test_the_folder_of_a_service_that_was_killed_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")  # restored after the test
    place = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path(tempfile.gettempdir())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    abandoned = place / f"digits-metrics-{ended.pid}-abandoned"
    abandoned.mkdir()

    with shared_folder():
        mine = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        assert mine.parent == place
        assert mine.is_dir()

    assert not abandoned.exists()
    assert not mine.exists()


HEAD = HALF[:-8].replace(b"image/png", b"application/octet-stream").replace(b"1000", b"784\r\n\r\n")


def test_a_reply_that_nobody_can_get_counts_as_abandoned(service: Service) -> None:
    gone_before, lost = Scrape(service.client).requests()["/predict", "499"], 0

    for _ in range(5):
        with service.connect() as connection:
            connection.sendall(HEAD + RAW["content"])
            connection.shutdown(socket.SHUT_WR)
            lost += connection.recv(65536) == b""

    scraped_when(service.client, lambda scrape: scrape.value("digits_requests_in_work") == 0)
    assert Scrape(service.client).requests()["/predict", "499"] == gone_before + lost


def test_requests_in_work_are_counted(service: Service) -> None:
    gone_before = Scrape(service.client).requests()["/predict", "499"]

    def in_work(number: int) -> float:
        scrape = scraped_when(service.client, lambda scrape: scrape.value("digits_requests_in_work") == number)
        return scrape.value("digits_requests_in_work")

    with service.connect() as first, service.connect() as second:
        for connection in (first, second):
            connection.sendall(HALF)
        half_sent = in_work(2)
        first.sendall(b"\0" * 996)
        one_left = in_work(1)

    assert (half_sent, one_left, in_work(0)) == (2, 1, 0)
    assert Scrape(service.client).requests()["/predict", "499"] == gone_before + 1
