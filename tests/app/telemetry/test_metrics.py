"""`/metrics` counts what clients sent and received."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import prometheus_client
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.metrics import Histogram, Metrics
from app.telemetry.probes import PROBES
from tests.app.conftest import START_SECONDS, Service
from tests.app.dialects import RAW

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
    """Return the first scrape for which `holds` is true. A request counts a moment after its reply."""
    deadline = time.monotonic() + START_SECONDS
    while not holds(scrape := Scrape(client)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return scrape


def test_each_metric_counts_what_the_client_sent(service: Service, digit_pictures: list[bytes]) -> None:
    before, sent = Scrape(service.client), Client()

    sent.send_a_mix(service.client, digit_pictures)

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
    assert added("digits_pass_pictures_count") == len(sent.pictures) + 1
    assert added("digits_pass_pictures_sum") == sum(sent.pictures)
    assert counted("digits_pass_pictures_bucket", "le")["1.0",] == sent.pictures.count(1)
    assert added("digits_queue_seconds_count") == len(sent.pictures) + 1
    assert added("digits_queue_seconds_sum") > 0


@example([])
@example([0.0005, 0.00050001, 60, 61])
@given(st.lists(st.floats(0, 100)))
def test_a_histogram_has_the_text_of_prometheus_clients_own(values: list[float]) -> None:
    plain = prometheus_client.Histogram("a", "b", buckets=(0.0005, 1, 60), registry=None)
    batched = Histogram("a", "b", buckets=(0.0005, 1, 60))

    for value in values:
        plain.observe(value)
    batched.values().extend(values)
    batched.flush()
    batched.flush()

    expected, samples = (
        [sample for metric in each.collect() for sample in metric.samples] for each in (plain, batched)
    )
    assert [(sample.name, sample.labels) for sample in samples] == [(each.name, each.labels) for each in expected]
    assert [sample.value for sample in samples] == pytest.approx([each.value for each in expected])


def test_an_autoscaler_finds_the_durations_of_requests_before_the_first_one() -> None:
    samples = Metrics().samples("digits_request_seconds")

    sums = [(sample.labels["route"], sample.value) for sample in samples if sample.name == "digits_request_seconds_sum"]
    assert sums == [("/predict", 0), ("/read", 0)]


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
