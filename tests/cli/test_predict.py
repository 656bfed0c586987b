"""`digits predict` prints an answer for each picture."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Digits
from tests.conftest import Published, publish_tiny


@pytest.fixture
def seven(tmp_path: Path, digit_pictures: list[bytes]) -> Path:
    file = tmp_path / "seven.png"
    file.write_bytes(digit_pictures[7])
    return file


def test_a_picture_on_standard_input_is_answered_like_a_file(
    digits: Digits, seven: Path, digit_pictures: list[bytes]
) -> None:
    ran = digits("predict", "--json", seven, "-", stdin=digit_pictures[7])

    from_file, from_stdin = map(json.loads, ran.out.splitlines())
    assert (ran.code, ran.err) == (0, "")
    assert from_stdin == from_file | {"file": "-"}


def test_a_file_that_is_no_picture_is_reported_and_the_others_are_answered(
    digits: Digits, seven: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("seven")

    ran = digits("predict", tmp_path / "text.png", seven)

    assert ran.code == 1
    assert ran.out.startswith(f"{seven}: ")
    assert ran.err.startswith(f"{tmp_path / 'text.png'}: expected a PNG, ")


def test_the_option_model_dir_takes_precedence_over_the_environment(
    digits: Digits, seven: Path, published: Published, tmp_path: Path
) -> None:
    publish_tiny(tmp_path / "other", seed=1)
    newer = publish_tiny(tmp_path / "other", seed=2)

    ran = digits("predict", "--json", "--model-dir", newer.root, seven)

    assert json.loads(ran.out)["model"]["version"] == newer.manifest.version != published.manifest.version
