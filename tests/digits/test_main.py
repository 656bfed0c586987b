"""`python -m digits` answers as the service does."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.openapi.example_pictures import EXAMPLES
from digits.command_line import main
from digits.features import to_features
from digits.model import artifact, classifier
from digits.model.artifact import MODEL
from digits.model.classifier import Classifier
from tests.conftest import Mnist, Published, encoded, fresh_python, publish_tiny, publish_trusted


@dataclass(frozen=True, slots=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


@pytest.fixture
def run(published: Published, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command with the published version as its model."""
    monkeypatch.setenv("MNIST_MODEL_DIR", str(published.root))

    def run(*arguments: str | Path) -> Result:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def files(tmp_path: Path, digit_pictures: list[bytes]) -> list[Path]:
    """Ten picture files, index = digit."""
    paths = [tmp_path / f"{digit}.png" for digit in range(10)]
    for path, picture in zip(paths, digit_pictures, strict=True):
        path.write_bytes(picture)
    return paths


def test_the_command_prints_a_line_per_picture(files: list[Path], published: Published) -> None:
    result = fresh_python("-m", "digits", *files, environment={"MNIST_MODEL_DIR": str(published.root)})

    assert result.returncode == 0
    assert result.stderr == ""
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [str(file) for file in files]


def test_json_lines_have_the_classifiers_answer(
    run: Run, files: list[Path], published: Published, mnist: Mnist
) -> None:
    first_of_each = np.stack([mnist.pixels[mnist.labels == digit][0] for digit in range(10)])
    expected = Classifier.load(published.folder).probabilities(to_features(first_of_each))

    result = run("--json", *files)

    assert result.code == 0
    assert [answer["file"] for answer in result.answers] == [str(file) for file in files]
    np.testing.assert_allclose([answer["probabilities"] for answer in result.answers], expected, atol=1e-6)
    assert [answer["digit"] for answer in result.answers] == expected.argmax(axis=1).tolist()
    for answer in result.answers:
        assert answer.keys() == {"file", "digit", "probability", "probabilities", "preprocessing", "model"}
        assert answer["probability"] == max(answer["probabilities"])
        assert answer["model"] == {"name": "mnist-dense", "version": published.manifest.version}


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        pytest.param(b"seven", [], "expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture, received 5 bytes", id="text"),
        pytest.param(b"%PDF-1.7", [], "expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture, received PDF", id="PDF"),
        pytest.param(None, [], "cannot be read: No such file or directory", id="missing file"),
        pytest.param(encoded(np.full((50, 60), 255, np.uint8)), [], "no ink found: the picture is blank", id="blank"),
        pytest.param(
            encoded(np.zeros((28, 27), np.uint8)),
            ["--normalize", "never"],
            "expected 28x28 pixels, received 27x28 (width x height)",
            id="another size, not normalized",
        ),
    ],
)
def test_a_bad_file_is_reported_and_the_others_are_answered(
    run: Run, content: bytes | None, options: list[str], message: str, files: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    if content is not None:
        bad.write_bytes(content)

    as_text = run(*options, files[0], bad, files[1])
    as_json = run(*options, "--json", files[0], bad, files[1])

    assert (as_text.code, as_json.code) == (1, 1)
    assert [line.split(": ")[0] for line in as_text.out.splitlines()] == [str(files[0]), str(files[1])]
    assert as_text.err.startswith(f"{bad}: {message}")
    assert [answer["file"] for answer in as_json.answers] == [str(files[0]), str(bad), str(files[1])]
    assert message in as_json.answers[1]["error"]


def test_a_file_name_that_is_not_utf8_is_escaped_in_json(run: Run, files: list[Path], tmp_path: Path) -> None:
    names = [os.fsdecode(os.fsencode(tmp_path) + b"/" + name) for name in (b"a\x80.png", b"missing\x80.png")]
    shutil.copyfile(files[7], names[0])

    result = run("--json", *names)

    assert [answer["file"] for answer in result.answers] == names
    assert "\\udc80" in result.out


def test_a_folder_is_a_bad_file(run: Run, tmp_path: Path) -> None:
    result = run(tmp_path)

    assert result == Result(1, "", f"{tmp_path}: cannot be read: Is a directory\n")


def test_the_option_model_dir_overrides_the_environment(run: Run, files: list[Path], tmp_path: Path) -> None:
    other = publish_tiny(tmp_path / "other", seed=1)
    publish_tiny(tmp_path / "other", seed=2)

    result = run("--json", "--model-dir", other.root, files[7])

    assert result.answers[0]["model"]["version"] == other.manifest.version + 1


def test_a_damaged_version_is_reported_and_the_one_before_answers(
    run: Run, files: list[Path], published: Published
) -> None:
    damaged = publish_tiny(published.root, seed=1)
    (damaged.folder / MODEL).unlink()

    result = run("--json", files[7])

    assert result.code == 0
    assert result.answers[0]["model"]["version"] == published.manifest.version
    assert result.err == f"digits: not used: {damaged.folder / MODEL}: missing\n"


def test_without_a_model_the_exit_code_is_2(
    run: Run, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (artifact, classifier):
        monkeypatch.setattr(module, "SHIPPED", tmp_path / "nothing")

    result = run("--model-dir", tmp_path / "empty", files[0])

    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"digits: no usable version of mnist-dense in {tmp_path / 'empty'} or ")


def test_without_a_file_the_command_shows_its_usage(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run()

    assert exit_.value.code == 2
    assert "FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("enlarge", "mode", "steps"),
    [
        pytest.param(True, "auto", ["inverted", "cropped", "centered"], id="a large dark digit"),
        pytest.param(False, "auto", [], id="a picture in MNIST form"),
        pytest.param(False, "always", ["cropped", "centered"], id="a picture in MNIST form, always normalized"),
    ],
)
def test_pictures_are_brought_to_mnist_form(
    run: Run, mode: str, steps: list[str], tmp_path: Path, mnist: Mnist, *, enlarge: bool
) -> None:
    file = tmp_path / "picture.png"
    five = mnist.pixels[mnist.labels == 5][0]
    file.write_bytes(encoded(255 - five.repeat(5, axis=0).repeat(5, axis=1) if enlarge else five))

    result = run("--json", "--normalize", mode, file)

    assert result.answers[0]["preprocessing"] == steps


@pytest.mark.parametrize(
    ("threshold", "bright", "line"),
    [
        pytest.param(0.46, False, "1 (0.4553), no digit is probable enough", id="an empty prediction set"),
        pytest.param(0.3, False, "1 (0.4553)", id="one digit"),
        pytest.param(0.1, False, "1 (0.4553), may be 1 or 5 or 9", id="several digits"),
        pytest.param(0.3, True, "1 (0.6455), not a digit?", id="not a digit"),
    ],
)
def test_a_line_tells_how_far_to_trust_the_answer(
    run: Run, threshold: float, line: str, tmp_path: Path, files: list[Path], *, bright: bool
) -> None:
    trusted = publish_trusted(tmp_path / "trusted", threshold=threshold)
    if bright:
        files[7].write_bytes(encoded(np.random.default_rng(0).integers(100, 256, (28, 28), dtype=np.uint8)))

    result = run("--normalize", "never", "--model-dir", trusted.root, files[7])

    assert result.out == f"{files[7]}: {line}\n"


def test_json_lines_tell_how_far_to_trust_the_answer(run: Run, files: list[Path], tmp_path: Path, mnist: Mnist) -> None:
    trusted = publish_trusted(tmp_path / "trusted", threshold=0.1)
    seven = to_features(mnist.pixels[mnist.labels == 7][:1])

    (answer,) = run("--json", "--model-dir", trusted.root, files[7]).answers

    assert answer["prediction_set"] == [digit for digit in range(10) if answer["probabilities"][digit] >= 0.1]
    assert answer["coverage"] == 0.99
    assert answer["is_digit"] is True
    assert answer["novelty"] == pytest.approx(2 * seven.mean())


NUMBER = EXAMPLES / "number.jpg"


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MNIST_MODEL_DIR", raising=False)


def test_read_prints_all_digits_of_each_picture(shipped: None, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["read", str(NUMBER), str(EXAMPLES / "seven.png")])

    assert code == 0
    assert capsys.readouterr().out == f"{NUMBER}: 4071\n{EXAMPLES / 'seven.png'}: 7\n"


def test_read_says_how_many_digits_may_be_another_digit(shipped: None, capsys: pytest.CaptureFixture[str]) -> None:
    scan = str(EXAMPLES / "scan-1986-407-52.jpg")

    assert main(["read", scan]) == 0
    printed = capsys.readouterr().out
    assert main(["read", "--json", scan]) == 0
    digits = json.loads(capsys.readouterr().out)["digits"]

    unsure = sum(digit["prediction_set"] != [digit["digit"]] for digit in digits)
    assert unsure > 0
    assert printed == f"{scan}: 1986 / 407 / 52, {unsure} may be another digit\n"


def test_read_prints_boxes_as_json(shipped: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", "--json", str(NUMBER)]) == 0

    answer = json.loads(capsys.readouterr().out)
    assert answer["lines"] == ["4071"]
    assert [sorted(digit["box"]) for digit in answer["digits"]] == [["height", "width", "x", "y"]] * 4


def test_read_prints_why_a_picture_has_no_answer(
    shipped: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blank = tmp_path / "blank.png"
    Image.new("L", (90, 40), 255).save(blank)

    assert main(["read", str(blank)]) == 1
    assert capsys.readouterr().err == f"{blank}: no ink found: the picture is blank\n"


def test_an_answer_about_one_digit_says_that_there_are_more(shipped: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(NUMBER)]) == 0

    assert capsys.readouterr().out.endswith(", more digits? `read` reads them all\n")
