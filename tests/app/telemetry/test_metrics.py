"""`/metrics` counts what clients sent and received."""

import os
from collections import Counter
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.metrics import Metrics, memory_limit_bytes
from tests.app.conftest import Service, cases
from tests.app.dialects import BLANK, PNG, RAW

pytestmark = pytest.mark.slow

SEVEN, RAW_TYPE = RAW["content"], RAW["headers"]["content-type"]
HALF = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nhalf"
MACHINE_BYTES = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
Counts = Counter[tuple[str, ...]]
"""Number of events by the values of the labels."""


class Scrape:
    """A reply of `/metrics`, read by prometheus_client's parser."""

    def __init__(self, client: httpx.Client) -> None:
        reply = client.get("/metrics")
        assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        self.text = reply.text
        self.samples = [sample for family in text_string_to_metric_families(reply.text) for sample in family.samples]

    def of(self, name: str, *labels: str) -> Counts:
        """Return the values that are not zero."""
        found: Counts = Counter()
        for sample in self.samples:
            if sample.name == name and sample.value:
                found[tuple(sample.labels[label] for label in labels)] += int(sample.value)
        return found

    def value(self, name: str) -> float:
        """Return the value of the only series with this name."""
        (value,) = (sample.value for sample in self.samples if sample.name == name)
        return value

    def requests(self) -> Counts:
        return self.of("digits_request_seconds_count", "route", "status")


def test_each_metric_counts_what_the_client_sent(service: Service, digit_pictures: list[bytes]) -> None:
    client, before = service.client, Scrape(service.client)

    answers = [
        *(client.post("/predict", content=each, headers={"content-type": "image/png"}) for each in digit_pictures),
        client.post("/predict", files=[("file", ("a.png", each)) for each in digit_pictures]),
        client.post("/predict", content=SEVEN * 250, headers={"content-type": RAW_TYPE}),  # passes of 128 and 122
    ]
    refused = {
        "invalid-image": client.post("/predict", content=b"seven", headers={"content-type": "image/png"}),
        "no-ink": client.post("/predict?normalize=always", content=bytes(784), headers={"content-type": RAW_TYPE}),
        "unsupported-type": client.post("/predict", content=b"seven", headers={"content-type": "text/plain"}),
        "wrong-method": client.get("/predict"),
        "not-found": client.post("/predictions"),
    }

    routes = ["/predict"] * (len(answers) + 4) + ["other"]
    sent = Counter(zip(routes, (str(each.status_code) for each in [*answers, *refused.values()]), strict=True))
    # A request counts a moment after its reply.
    service.wait_for(lambda: Scrape(client).requests() - before.requests() == sent, f"{sent} more requests")
    after = Scrape(client)

    def counted(name: str, *labels: str) -> Counts:
        return after.of(name, *labels) - before.of(name, *labels)

    def added(name: str) -> float:
        return after.value(name) - before.value(name)

    predictions = [each for answer in answers for each in answer.json().get("predictions", [answer.json()])]
    statuses = {(reason, str(reply.status_code)): 1 for reason, reply in refused.items()}
    assert counted("digits_refusals_total", "reason", "status") == statuses
    digits = Counter((str(each["digit"]),) for each in predictions)
    assert counted("digits_predictions_total", "digit") == digits
    assert len(digits) == 10
    for quantity in ("probability", "ink", "novelty"):
        assert added(f"digits_{quantity}_count") == len(predictions)
    assert added("digits_probability_sum") == pytest.approx(sum(each["probability"] for each in predictions))
    assert added("digits_pass_pictures_count") == added("digits_queue_seconds_count") == len(answers) + 1
    assert added("digits_pass_pictures_sum") == len(predictions)
    assert counted("digits_pass_pictures_bucket", "le")["1.0",] == len(digit_pictures)
    assert added("digits_queue_seconds_sum") > 0


@cases(
    ("query", "request_status", "answered", "refused"),
    {
        "reported": ({}, "200", 1, {("no-ink", "422"): 2, ("unsupported-image", "415"): 1}),
        "reported, but the whole request is refused": ({"coverage": 0.5}, "422", 1, {("invalid-query", "422"): 1}),
        "not reported": ({"on_error": "fail"}, "415", 0, {("unsupported-image", "415"): 1}),
    },
)
def test_each_refused_picture_counts_once_with_its_own_status(
    service: Service, query: dict[str, str], request_status: str, answered: int, refused: dict[tuple[str, str], int]
) -> None:
    files = [("file", ("a.png", each)) for each in (BLANK, PNG, BLANK, b"\0\0\0\x18ftypavif\0\0\0\0")]
    before = Scrape(service.client)

    reply = service.client.post("/predict", params={"on_error": "report"} | query, files=files)

    assert str(reply.status_code) == request_status
    sent = {("/predict", request_status): 1}
    service.wait_for(lambda: Scrape(service.client).requests() - before.requests() == sent, f"{sent} more requests")
    after = Scrape(service.client)
    counts = [scrape.of("digits_refusals_total", "reason", "status") for scrape in (after, before)]
    assert counts[0] - counts[1] == refused
    predictions = [scrape.of("digits_predictions_total").total() for scrape in (after, before)]
    assert predictions[0] - predictions[1] == answered


def test_a_picture_counts_once_for_each_of_its_doubts(service: Service) -> None:
    sheet = np.full((260, 240), 220, np.uint8)
    cv2.ellipse(sheet, (120, 130), (45, 70), 0, 0, 360, 60, 10)
    for y in (110, 150):
        cv2.circle(sheet, (120, y), 9, 60, -1)
    files = {"file": cv2.imencode(".png", sheet)[1].tobytes()}
    before = Scrape(service.client).of("digits_doubts_total", "doubt")

    doubts = [service.client.post(path, files=files).json()["doubts"] for path in ("/predict", "/read")]

    assert doubts == [["inside", "inside"]] * 2
    assert Scrape(service.client).of("digits_doubts_total", "doubt") - before == {("inside",): 2}


def test_an_autoscaler_finds_the_durations_of_requests_before_the_first_one() -> None:
    samples = [sample for metric in Metrics().collect() for sample in metric.samples]

    sums = [(sample.labels["route"], sample.value) for sample in samples if sample.name == "digits_request_seconds_sum"]
    assert sums == [("/predict", 0), ("/read", 0)]


def test_no_client_can_make_series(service: Service) -> None:
    before = Scrape(service.client).requests()

    for number in range(10):
        service.client.request("PROPFIND" if number % 2 else "GET", f"/odd-{number}?odd={number}")
        service.client.get(f"/model/report/odd-{number}")
        service.client.post("/predict", content=SEVEN, headers={"content-type": f"odd/{number}"})
        reply = service.send_bytes(b"ODD-%d /odd HTTP/1.1\r\nHost: odd-%d\r\n\r\n" % (number, number))
        assert reply.startswith(b"HTTP/1.1 400 ")

    after = Scrape(service.client)
    assert after.requests()["other", "404"] - before["other", "404"] == 10
    assert "odd" not in after.text.lower()


def test_requests_in_work_are_counted(service: Service) -> None:
    gone_before = Scrape(service.client).requests()["/predict", "499"]

    with service.connect() as first, service.connect() as second:
        for connection in (first, second):
            connection.sendall(HALF)
        service.wait_for_requests_in_work(2)
        first.sendall(b"\0" * 996)
        service.wait_for_requests_in_work(1)

    service.wait_for_requests_in_work(0)
    assert Scrape(service.client).requests()["/predict", "499"] == gone_before + 1


@cases(("started", "classes"), {"digits": ("service", 10), "shapes": ("shapes", 3), "no model": ("modelless", 0)})
def test_the_number_of_classes_is_that_of_the_served_model(
    started: str, classes: int, request: pytest.FixtureRequest
) -> None:
    service: Service = request.getfixturevalue(started)

    line = f"\ndigits_model_classes {classes}.0\n"
    service.wait_for(lambda: line in service.client.get("/metrics").text, line)


@cases(
    ("file", "content", "limit"),
    {
        "version 2": ("memory.max", "536870912\n", 2**29),
        "version 2 without a limit": ("memory.max", "max\n", MACHINE_BYTES),
        "version 1": ("memory/memory.limit_in_bytes", "536870912\n", 2**29),
        "version 1 without a limit": ("memory/memory.limit_in_bytes", "9223372036854771712\n", MACHINE_BYTES),
        "no control groups": ("other", "", MACHINE_BYTES),
    },
)
def test_the_memory_limit_is_that_of_the_control_group(file: str, content: str, limit: int, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(content)

    assert memory_limit_bytes(tmp_path) == limit
