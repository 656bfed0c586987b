"""`digits predict` and `digits read` print an answer for each picture."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.openapi.example_pictures import EXAMPLES
from digits.features import to_features
from digits.model.artifact import SHIPPED
from digits.model.classifier import Classifier
from digits.percent import percent
from tests.cli.conftest import Digits, each_command
from tests.conftest import (
    SHIPPED_VERSION,
    Mnist,
    Outcome,
    Published,
    amount,
    encoded,
    publish_tiny,
    publish_trusted,
)

NARROW = encoded(np.zeros((28, 27), np.uint8))
NUMBER, DRAWING = EXAMPLES / "number.jpg", EXAMPLES / "drawing-2718-28.png"


def answers(ran: Outcome) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.fixture
def files(tmp_path: Path, digit_pictures: list[bytes]) -> list[Path]:
    paths = [tmp_path / f"{digit}.png" for digit in range(10)]
    for path, picture in zip(paths, digit_pictures, strict=True):
        path.write_bytes(picture)
    return paths


def test_each_picture_gets_a_line_with_the_classifiers_answer(
    digits: Digits, files: list[Path], published: Published, mnist: Mnist
) -> None:
    first_of_each = np.stack([mnist.pixels[mnist.labels == digit][0] for digit in range(10)])
    expected = Classifier.load(published.folder).probabilities(to_features(first_of_each))

    as_text, as_json = digits("predict", *files), digits("predict", "--json", *files)

    version = f"digits: answered by mnist-dense version {published.manifest.version}\n"
    assert (as_text.code, as_text.err, as_json.code, as_json.err) == (0, version, 0, "")
    lines = [f"{file}: {row.argmax()} ({percent(row.max())})" for file, row in zip(files, expected, strict=True)]
    assert as_text.out.splitlines() == lines
    for answer, file, row in zip(answers(as_json), files, expected, strict=True):
        assert answer == {
            "path": str(file),
            "digit": row.argmax(),
            "probability": pytest.approx(float(row.max()), abs=1e-6),
            "probabilities": pytest.approx(row.tolist(), abs=1e-6),
            "preprocessing": [],
            "model": {"name": "mnist-dense", "version": published.manifest.version},
            "doubts": [],
        }


def test_standard_input_is_answered_like_a_file(digits: Digits, files: list[Path], digit_pictures: list[bytes]) -> None:
    ran = digits("predict", "--json", files[7], "-", stdin=digit_pictures[7])

    from_file, from_stdin = answers(ran)
    assert (ran.code, ran.err) == (0, "")
    assert from_stdin == from_file | {"path": "-"}


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        pytest.param(None, [], "cannot be read: No such file or directory", id="a missing file"),
        pytest.param(
            b"seven", [], "expected a PNG, JPEG, WEBP, BMP, GIF, TIFF or HEIF picture, received 5 bytes", id="text"
        ),
        pytest.param(encoded(np.full((50, 60), 255, np.uint8)), [], "no ink found: the picture is blank", id="blank"),
        pytest.param(NARROW, ["--normalize", "never"], "expected 28x28 pixels, received 27x28", id="another size"),
    ],
)
def test_a_bad_file_is_reported_and_the_others_are_answered(
    digits: Digits, content: bytes | None, options: list[str], message: str, files: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    if content is not None:
        bad.write_bytes(content)

    as_text = digits("predict", *options, files[0], bad, files[1])
    as_json = digits("predict", *options, "--json", files[0], bad, files[1])

    assert (as_text.code, as_json.code) == (1, 1)
    assert [line.split(": ")[0] for line in as_text.out.splitlines()] == [str(files[0]), str(files[1])]
    assert as_text.err.startswith(f"{bad}: {message}")
    assert [answer["path"] for answer in answers(as_json)] == [str(files[0]), str(bad), str(files[1])]
    assert message in answers(as_json)[1]["error"]


@each_command
def test_a_required_version_answers_as_a_folder_or_by_its_number(
    digits: Digits, published: Published, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str
) -> None:
    publish_tiny(published.root, seed=1)

    by_folder = digits(command, "--model-dir", published.folder, NUMBER)
    by_option = digits(command, "--model-version", SHIPPED_VERSION, NUMBER)
    monkeypatch.setenv("MNIST_MODEL_VERSION", "1000")
    by_variable = digits(command, NUMBER)
    in_processes = digits(command, NUMBER, "--output", tmp_path / "rows.jsonl")
    monkeypatch.setenv("MNIST_MODEL_VERSION", "9")
    missing = digits(command, NUMBER)
    too_high = digits(command, NUMBER, "--model-version", 1234567890)

    assert by_folder.err == by_variable.err == "digits: answered by mnist-dense version 1000\n"
    assert by_option.err == f"digits: answered by mnist-dense version {SHIPPED_VERSION}\n"
    assert json.loads((tmp_path / "rows.jsonl").read_text())["version"] == 1000
    assert "by mnist-dense version 1000," in in_processes.out
    assert (missing.code, missing.out) == (2, "")
    known = ", ".join(map(str, (1001, 1000, SHIPPED_VERSION)))
    assert missing.err == f"digits: no usable version 9 of mnist-dense in {published.root}; known versions: {known}\n"
    assert too_high.code == 2
    assert too_high.err.endswith("Input should be less than or equal to 999999999\n")


@pytest.mark.parametrize(
    ("threshold", "bright", "line"),
    [
        pytest.param(0.46, False, "1 (45.5 %), no digit is probable enough", id="an empty prediction set"),
        pytest.param(0.3, False, "1 (45.5 %)", id="one digit"),
        pytest.param(0.1, False, "1 (45.5 %), may be 1 or 5 or 9", id="several digits"),
        pytest.param(0.3, True, "1 (64.5 %), not a digit?", id="not a digit"),
    ],
)
def test_a_line_tells_how_far_to_trust_the_answer(
    digits: Digits, threshold: float, line: str, tmp_path: Path, files: list[Path], *, bright: bool
) -> None:
    trusted = publish_trusted(tmp_path / "trusted", threshold=threshold)
    if bright:
        files[7].write_bytes(encoded(np.random.default_rng(0).integers(100, 256, (28, 28), dtype=np.uint8)))

    ran = digits("predict", "--normalize", "never", "--model-dir", trusted.root, files[7])

    assert ran.out == f"{files[7]}: {line}\n"


@pytest.mark.parametrize(("options", "coverage", "size"), [([], 0.9, 0), (["--coverage", "0.99"], 0.99, 1)])
def test_the_prediction_sets_have_the_coverage_that_was_asked_for_or_else_the_models_own(
    digits: Digits, tmp_path: Path, files: list[Path], options: list[str], coverage: float, size: int
) -> None:
    trusted = publish_trusted(tmp_path / "trusted", threshold=0.3, coverage=0.9)

    ran = digits("predict", "--normalize", "never", "--model-dir", trusted.root, "--json", *options, files[7])

    (answer,) = answers(ran)
    assert (answer["coverage"], len(answer["prediction_set"])) == (coverage, size)


def test_a_line_about_one_digit_says_that_there_are_more(digits: Digits) -> None:
    ran = digits("predict", "--model-dir", SHIPPED, NUMBER)

    assert ran.out.endswith(", more digits? `read` reads them all\n")


def test_read_prints_all_digits_and_how_many_are_unsure(digits: Digits) -> None:
    as_text = digits("read", "--model-dir", SHIPPED, NUMBER, DRAWING)
    as_json = digits("read", "--model-dir", SHIPPED, "--json", NUMBER, DRAWING)

    number, drawing = answers(as_json)
    unsure = sum(digit["prediction_set"] != [digit["digit"]] for digit in drawing["digits"])
    assert unsure > 0
    assert as_text.out == f"{NUMBER}: 4071\n{DRAWING}: 2718 / 28, {unsure} may be another digit\n"
    assert number["lines"] == ["4071"]
    assert [sorted(digit["box"]) for digit in number["digits"]] == [["height", "width", "x", "y"]] * 4


@pytest.mark.parametrize(("options", "accept"), [([], False), (["--marks", "ignore"], True)], ids=["count", "ignore"])
def test_read_shows_the_marks_and_accepts_separators_only_if_they_are_ignored(
    digits: Digits, options: list[str], *, accept: bool
) -> None:
    as_text = digits("read", "--model-dir", SHIPPED, *options, "-", stdin=amount())
    as_json = digits("read", "--model-dir", SHIPPED, "--json", *options, "-", stdin=amount())

    (number,) = answers(as_json)
    (mark,) = number["marks"]
    assert as_text.out == "-: 40752, 1 mark\n"
    assert (mark["kind"], mark["line"], mark["after"]) == ("separator", 0, 3)
    assert sorted(mark["box"]) == ["height", "width", "x", "y"]
    assert number["accept"] is accept


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["predict", "--coverage", "0.97"], "expected a coverage at which version 1000 has prediction sets"),
        (["read", "--marks", "none"], "'none' is not one of 'count', 'ignore'"),
    ],
)
def test_an_unknown_choice_is_refused(digits: Digits, tmp_path: Path, arguments: list[str], reason: str) -> None:
    trusted = publish_trusted(tmp_path / "trusted")

    ran = digits(*arguments, "--model-dir", trusted.root, NUMBER)

    assert ran.code == 2
    assert reason in " ".join(ran.err.replace("│", " ").split())
