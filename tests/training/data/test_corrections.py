"""A table of answers that a person has checked gives digits to learn from."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.openapi.example_pictures import EXAMPLES
from digits.features import to_features
from digits.model.classifier import Classifier
from digits.model.predictions import predict
from digits.picture import Picture
from tests.conftest import encoded
from training.data.corrections import Corrections, read
from training.errors import InvalidData

READ = "path,text,digit_count,accept,version,error,checked_by"
PREDICT = "path,digit,probability,version,error,checked_by"


@pytest.fixture
def folder(tmp_path: Path, digit_pictures: list[bytes]) -> Path:
    """A folder with a number, a digit, another name of this digit, and paper without a digit."""
    shutil.copy(EXAMPLES / "number.jpg", tmp_path)
    for name in ("7.png", "copy.png", "=7.png"):
        (tmp_path / name).write_bytes(digit_pictures[7])
    (tmp_path / "blank.png").write_bytes(encoded(np.full((60, 60), 255, np.uint8)))
    return tmp_path


def table(folder: Path, header: str, *rows: str) -> Path:
    """Write a table as the commands do, and return it."""
    (folder / "results.csv").write_text("\r\n".join([header, *rows]), "utf-8")
    return folder / "results.csv"


def test_a_number_gives_its_digits_and_only_what_a_person_has_checked_counts(
    folder: Path, classifier: Classifier
) -> None:
    rows = ["number.jpg,4071,4,true,7,,person", "7.png,1,1,true,7,,person", "blank.png,8,1,true,7,,model"]

    found, left_out = read(table(folder, READ, *rows), None, classifier)

    assert (found.labels.tolist(), found.pictures.tolist()) == ([4, 0, 7, 1, 1], [0, 0, 0, 0, 1])
    assert classifier.probabilities(to_features(found.pixels)).argmax(axis=1).tolist() == [4, 0, 7, 1, 7]
    assert left_out == {}


def test_a_row_of_one_digit_gives_the_pixels_that_the_answer_was_about(folder: Path, classifier: Classifier) -> None:
    drawing = Picture((EXAMPLES / "drawing-2718-28.png").read_bytes())
    shutil.copy(EXAMPLES / "drawing-2718-28.png", folder / "drawing.png")

    found, _ = read(table(folder, PREDICT, "drawing.png,8,0.9,7,,person"), None, classifier)

    (answer,) = predict(classifier, [drawing.prepare("auto")], lambda _index: drawing.look_again())
    seen = classifier.probabilities(to_features(found.pixels))
    assert seen[0] == pytest.approx(answer["probabilities"], abs=1e-6)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        pytest.param(READ, "=7.png,7,1,true,7,,person", id="a name that begins with ="),
        pytest.param(READ, "'=7.png,7,1,true,7,,person", id="the same name as a spreadsheet may have it"),
        pytest.param(READ, '7.png,"7\n",1,true,7,,person', id="lines in a text"),
        pytest.param("\ufeffpath;text;checked_by", "7.png;7;person", id="saved by a spreadsheet with semicolons"),
        pytest.param("path,text,checked_by", "else/where/7.png,7,person", id="a picture in the folder of another path"),
    ],
)
def test_pictures_are_found_in_the_named_folder_whatever_a_spreadsheet_has_written(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, classifier: Classifier, header: str, row: str
) -> None:
    found, _ = read(table(tmp_path_factory.mktemp("table"), header, row), folder, classifier)

    assert found.labels.tolist() == [7]


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        pytest.param(READ, ["gone.png,7,1,,7,,person"], "row 2: expected a picture, found no file gone.png", id="none"),
        pytest.param(READ, ["7.png,7?,1,,7,,person"], "row 2: expected digits, received '7?'", id="a sign of doubt"),
        pytest.param(PREDICT, ["7.png,71,1,7,,person"], "row 2: expected one digit, received '71'", id="two digits"),
        pytest.param(
            READ,
            ["7.png,7,1,,7,,person", "7.png,7,1,,7,,person", "copy.png,1,1,,7,,person", "gone.png,1,1,,7,,person"],
            "rows 2 and 4: 7 and 1 for the same picture; row 5: expected a picture",
            id="two labels of one picture",
        ),
        pytest.param(READ, ["7.png,7,1,true,7,,model"], "expected rows with `person` in checked_by", id="no person"),
        pytest.param(
            "path,digit", ["7.png,7"], "expected the columns path, checked_by and text or digit", id="columns"
        ),
    ],
)
def test_rows_that_nobody_can_learn_from_are_refused_by_their_number(
    folder: Path, classifier: Classifier, header: str, rows: list[str], message: str
) -> None:
    corrections = table(folder, header, *rows)

    with pytest.raises(InvalidData) as refused:
        read(corrections, None, classifier)

    assert str(refused.value).startswith(f"{corrections}: {message}")


def test_rows_without_as_many_digits_as_their_text_are_left_out_by_their_number(
    folder: Path, classifier: Classifier
) -> None:
    rows = ["number.jpg,407,3,true,7,,person", "7.png,7,1,true,7,,person", "blank.png,8,1,true,7,,person"]

    found, left_out = read(table(folder, READ, *rows), None, classifier)

    assert found.labels.tolist() == [7]
    assert left_out == {
        2: "expected 3 digits as in its text, found 4",
        4: "no ink found: the picture is blank",
    }


def test_earlier_corrections_are_added_unless_the_same_digit_was_corrected_again() -> None:
    pixels = np.arange(3, dtype=np.uint8)[:, None, None] * np.ones((28, 28), np.uint8)
    new = Corrections(pixels[:2], np.array([1, 2], np.uint8), np.array([0, 0]))
    earlier = Corrections(pixels[1:], np.array([3, 4], np.uint8), np.array([0, 1]))

    together = new.and_others(earlier)

    assert (together.labels.tolist(), together.pictures.tolist()) == ([1, 2, 4], [0, 0, 2])
