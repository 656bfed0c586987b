"""`POST /read` reads all digits on a picture."""

from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import LIMITED_BATCH, Service, cases
from tests.app.dialects import PHOTO, RAW, form
from tests.app.dialects import PNG as SEVEN
from tests.conftest import amount, encoded

NUMBER = (EXAMPLES / "number.jpg").read_bytes()
JPEG = {"content-type": "image/jpeg"}


def read(client: httpx.Client, *pictures: bytes, query: str = "") -> httpx.Response:
    return client.post(f"/read{query}", **form(pictures))


def test_a_number_is_read_with_a_box_and_the_trust_in_each_digit(client: httpx.Client) -> None:
    answer = client.post("/read", content=NUMBER, headers=JPEG).raise_for_status().json()

    assert answer["text"] == "4071"
    assert answer["lines"] == ["4071"]
    assert [digit["digit"] for digit in answer["digits"]] == [4, 0, 7, 1]
    assert [digit["box"]["x"] for digit in answer["digits"]] == sorted(digit["box"]["x"] for digit in answer["digits"])
    for digit in answer["digits"]:
        assert digit["digit"] in digit["prediction_set"]
        assert digit["is_digit"] is (digit["novelty"] <= 0.8)
        assert digit["probability"] == max(digit["probabilities"])
    assert (answer["marks"], answer["left_out"]) == ([], 0)
    assert answer["accept"] is True


@pytest.mark.parametrize(
    ("name", "query", "is_accepted"),
    [
        pytest.param("number.jpg", "", True, id="sure"),
        pytest.param("number.jpg", "?coverage=0.999", False, id="unsure at another coverage"),
        pytest.param("scan-1986-407-52.jpg", "", False, id="unsure"),
    ],
)
def test_a_number_is_accepted_if_each_digit_is_and_there_are_no_marks(
    client: httpx.Client, name: str, query: str, *, is_accepted: bool
) -> None:
    number = read(client, (EXAMPLES / name).read_bytes(), query=query).json()

    for digit in number["digits"]:
        assert digit["accept"] is (digit["is_digit"] and digit["prediction_set"] == [digit["digit"]])
    all_accepted = all(digit["accept"] for digit in number["digits"])
    assert number["accept"] is (all_accepted and number["marks"] == []) is is_accepted


def test_a_separator_is_a_mark_with_its_place_and_no_part_of_the_text(client: httpx.Client) -> None:
    number = read(client, amount()).json()

    assert (number["text"], number["left_out"]) == ("40752", 0)
    (mark,) = number["marks"]
    assert (mark["kind"], mark["line"], mark["after"]) == ("separator", 0, 3)
    left, right = (number["digits"][index]["box"] for index in (2, 3))
    assert left["x"] < mark["box"]["x"] < right["x"]
    assert mark["box"]["height"] < right["height"] / 3


@pytest.mark.parametrize(
    ("query", "is_accepted"),
    [
        pytest.param("", False, id="by default"),
        pytest.param("?marks=count", False, id="count"),
        pytest.param("?marks=ignore", True, id="ignore"),
        pytest.param("?marks=ignore&coverage=0.999", False, id="ignore, and digits that are unsure"),
    ],
)
def test_a_number_with_a_separator_is_accepted_only_if_the_client_ignores_separators(
    client: httpx.Client, query: str, *, is_accepted: bool
) -> None:
    number = read(client, amount(), query=query).json()

    assert number["accept"] is is_accepted
    assert len(number["marks"]) == 1


@pytest.mark.parametrize("path", ["/predict", "/read"])
def test_a_picture_on_uneven_paper_can_get_the_ink_that_was_seen(client: httpx.Client, path: str) -> None:
    photo, scan = ((EXAMPLES / name).read_bytes() for name in ("photo-4.jpg", "scan-4.jpg"))

    answers = client.post(f"{path}?include=ink", **form([photo, scan])).raise_for_status().json()["predictions"]

    ink = np.array(answers[0]["ink"])
    assert max(ink.shape) <= 128
    assert 0.01 < (ink > 128).mean() < 0.3
    assert "ink" not in answers[1]
    assert "ink" not in client.post(path, **form([photo])).json()


@pytest.mark.parametrize("picture", [pytest.param(SEVEN, id="in MNIST form"), pytest.param(PHOTO, id="a photo")])
def test_one_digit_gets_the_answer_of_predict(client: httpx.Client, picture: bytes) -> None:
    predicted = client.post("/predict", files={"file": picture}).json()

    (digit,) = read(client, picture).json()["digits"]

    for field in ("digit", "prediction_set", "coverage", "calibration", "is_digit"):
        assert digit[field] == predicted[field]
    assert digit["probabilities"] == pytest.approx(predicted["probabilities"], abs=1e-5)


def test_predict_says_that_further_digits_were_left_out(client: httpx.Client) -> None:
    number = client.post("/predict", files={"file": NUMBER}).raise_for_status().json()
    one = client.post("/predict", files={"file": PHOTO}).raise_for_status().json()

    assert (number["doubts"], number["left_out"], number["accept"]) == (["neighbour"] * 3, 3, False)
    assert (one["doubts"], "left_out" not in one, one["accept"]) == ([], True, True)


def test_coverage_and_pixels_can_be_requested(client: httpx.Client) -> None:
    digits = read(client, NUMBER, query="?coverage=0.9&per_class=true&include=pixels").json()["digits"]

    assert {digit["coverage"] for digit in digits} == {0.9}
    assert [np.array(digit["pixels"]).shape for digit in digits] == [(28, 28)] * 4


@cases(
    ("status", "name", "body", "query"),
    {
        "JSON pixels": (415, "unsupported-type", {"json": {"pixels": [0] * 784}}, ""),
        "raw bytes": (415, "unsupported-type", RAW, ""),
        "text": (415, "unsupported-type", {"content": b"7", "headers": {"content-type": "text/plain"}}, ""),
        "normalize": (422, "invalid-query", form([NUMBER]), "?normalize=auto"),
        "saliency": (422, "invalid-query", form([NUMBER]), "?include=saliency"),
        "unknown marks": (422, "invalid-query", form([NUMBER]), "?marks=none"),
        "an unknown parameter": (422, "invalid-query", form([NUMBER]), "?speed=1"),
        "a coverage without sets": (422, "invalid-query", form([NUMBER]), "?coverage=0.5"),
    },
)
def test_a_bad_request_has_a_name(
    client: httpx.Client, status: int, name: str, body: dict[str, Any], query: str
) -> None:
    reply = client.post(f"/read{query}", **body)

    assert reply.status_code == status
    assert reply.json()["type"] == f"urn:digits:{name}"


def bars(rows: int, columns: int) -> bytes:
    """Draw a page of ones."""
    picture = Image.new("L", (columns * 30, rows * 60), 255)
    pen = ImageDraw.Draw(picture)
    for row in range(rows):
        for column in range(columns):
            pen.line((column * 30 + 15, row * 60 + 12, column * 30 + 15, row * 60 + 46), fill=0, width=4)
    return encoded(picture)


def test_more_digits_than_the_largest_batch_are_refused(limited: Service) -> None:
    enough = read(limited.client, bars(1, LIMITED_BATCH))
    too_many = read(limited.client, NUMBER, NUMBER)

    assert enough.json()["text"] == "1" * LIMITED_BATCH
    assert (too_many.status_code, too_many.json()["type"]) == (413, "urn:digits:too-many-digits")
