"""The service reads its own example pictures correctly. The name of a picture says what it shows."""

from pathlib import Path

import httpx
import pytest

from app.openapi.example_pictures import EXAMPLES

KINDS = ("photo", "scan", "drawing")

DIGITS = sorted(file for kind in KINDS for file in EXAMPLES.glob(f"{kind}-[0-9].*"))
NUMBERS = sorted(file for kind in KINDS for file in EXAMPLES.glob(f"{kind}-[0-9][0-9]*.*"))


def name(file: Path) -> str:
    return file.stem


def test_each_digit_has_a_photo_a_scan_and_a_drawing_and_is_in_a_number() -> None:
    assert {file.stem for file in DIGITS} == {f"{kind}-{digit}" for kind in KINDS for digit in range(10)}
    assert set("0123456789") <= set("".join(file.stem for file in NUMBERS))


@pytest.mark.parametrize("file", DIGITS, ids=name)
def test_a_digit_is_read_without_doubt(client: httpx.Client, file: Path) -> None:
    shown = int(file.stem[-1])

    reply = client.post("/predict", files={"file": file.read_bytes()}).json()

    assert (reply["digit"], reply["prediction_set"], reply["is_digit"]) == (shown, [shown], True)


@pytest.mark.parametrize("file", NUMBERS, ids=name)
def test_a_number_is_read_line_by_line(client: httpx.Client, file: Path) -> None:
    _kind, *lines = file.stem.split("-")

    reply = client.post("/read", files={"file": file.read_bytes()}).json()

    assert reply["lines"] == lines
    assert all(digit["digit"] in digit["prediction_set"] for digit in reply["digits"])
