import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from digits.artifact import MODEL
from digits.classifier import Classifier
from digits.features import to_features
from tests.conftest import Mnist, Published, encoded, fresh_python, publish_tiny, publish_trusted


@pytest.fixture
def files(tmp_path: Path, digit_pictures: list[bytes]) -> list[Path]:
    """A picture of each digit in a folder."""
    paths = [tmp_path / f"{digit}.png" for digit in range(10)]
    for path, picture in zip(paths, digit_pictures, strict=True):
        path.write_bytes(picture)
    return paths


def digits(*arguments: str | Path, root: Path) -> subprocess.CompletedProcess[str]:
    return fresh_python("-m", "digits", *arguments, environment={"MNIST_MODEL_DIR": str(root)})


def test_each_picture_gets_a_line(files: list[Path], published: Published) -> None:
    ran = digits(*files, root=published.root)

    assert ran.returncode == 0
    assert ran.stderr == ""
    assert [line.split(": ")[0] for line in ran.stdout.splitlines()] == [str(file) for file in files]


def test_json_lines_hold_what_the_classifier_says(files: list[Path], published: Published, mnist: Mnist) -> None:
    first_of_each = np.stack([mnist.pixels[mnist.labels == digit][0] for digit in range(10)])
    expected = Classifier.load(published.folder).probabilities(to_features(first_of_each))

    ran = digits("--json", *files, root=published.root)

    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    assert ran.returncode == 0
    assert [answer["file"] for answer in answers] == [str(file) for file in files]
    np.testing.assert_allclose([answer["probabilities"] for answer in answers], expected, atol=1e-6)
    np.testing.assert_allclose([sum(answer["probabilities"]) for answer in answers], 1, atol=1e-5)
    assert [answer["digit"] for answer in answers] == expected.argmax(axis=1).tolist()
    for answer in answers:
        assert answer["probability"] == max(answer["probabilities"])
        assert answer["model"] == {"name": "mnist-dense", "version": published.manifest.version}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(b"seven", "expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture, received 5 bytes", id="text"),
        pytest.param(b"%PDF-1.7", "expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture, received PDF", id="a PDF"),
        pytest.param(None, "cannot be read: No such file or directory", id="no file"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "JSON"])
def test_one_bad_file_does_not_keep_the_others_from_an_answer(
    bad: bytes | None, message: str, files: list[Path], published: Published, tmp_path: Path, *, as_json: bool
) -> None:
    file = tmp_path / "bad"
    if bad is not None:
        file.write_bytes(bad)

    ran = digits(*["--json"] * as_json, files[0], file, files[1], root=published.root)

    assert ran.returncode == 1
    if as_json:
        first, refused, last = [json.loads(line) for line in ran.stdout.splitlines()]
        assert [first["file"], last["file"]] == [str(files[0]), str(files[1])]
        assert refused["file"] == str(file)
        assert message in refused["error"]
    else:
        assert [line.split(": ")[0] for line in ran.stdout.splitlines()] == [str(files[0]), str(files[1])]
        assert ran.stderr.startswith(f"{file}: {message}")


def test_a_folder_for_a_file_is_a_bad_file(published: Published) -> None:
    ran = digits(published.folder, root=published.root)

    assert ran.returncode == 1
    assert ran.stderr == f"{published.folder}: cannot be read: Is a directory\n"


def test_the_model_folder_can_be_given_as_an_option(files: list[Path], published: Published, tmp_path: Path) -> None:
    ran = digits("--json", "--model-dir", published.root, files[7], root=tmp_path / "another")

    assert json.loads(ran.stdout)["model"]["version"] == published.manifest.version


def test_a_damaged_newest_version_is_reported_and_the_one_before_answers(
    files: list[Path], published: Published
) -> None:
    damaged = publish_tiny(published.root, seed=1)
    (damaged.folder / MODEL).unlink()

    ran = digits("--json", files[7], root=published.root)

    assert ran.returncode == 0
    assert json.loads(ran.stdout)["model"]["version"] == published.manifest.version
    assert ran.stderr == f"digits: not used: {damaged.folder / MODEL}: missing\n"


def test_without_a_model_the_exit_code_is_2(files: list[Path], tmp_path: Path) -> None:
    probe = (
        "import pathlib, sys\n"
        "from digits import __main__, artifact, classifier\n"
        "classifier.SHIPPED = artifact.SHIPPED = pathlib.Path(sys.argv.pop(1))\n"
        "sys.exit(__main__.main())\n"
    )

    ran = fresh_python("-c", probe, tmp_path / "nothing", "--model-dir", tmp_path / "own", files[0])

    assert ran.returncode == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith(f"digits: no usable version of mnist-dense in {tmp_path / 'own'} or ")


def test_without_a_file_the_usage_is_shown(published: Published) -> None:
    ran = digits(root=published.root)

    assert ran.returncode == 2
    assert "FILE" in ran.stderr


def test_a_picture_of_any_size_is_brought_to_form(published: Published, tmp_path: Path, mnist: Mnist) -> None:
    file = tmp_path / "page.png"
    file.write_bytes(encoded(255 - mnist.pixels[0].repeat(5, axis=0).repeat(5, axis=1)))

    ran = digits("--json", file, root=published.root)

    assert ran.returncode == 0
    assert json.loads(ran.stdout)["preprocessing"] == ["inverted", "cropped", "centered"]


def test_what_is_in_form_can_be_normalized_all_the_same(files: list[Path], published: Published) -> None:
    auto = digits("--json", files[5], root=published.root)
    always = digits("--json", "--normalize", "always", files[5], root=published.root)

    assert json.loads(auto.stdout)["preprocessing"] == []
    assert json.loads(always.stdout)["preprocessing"] == ["cropped", "centered"]


def test_without_normalizing_a_small_picture_says_what_size_was_expected(
    published: Published, tmp_path: Path, mnist: Mnist
) -> None:
    file = tmp_path / "narrow.png"
    file.write_bytes(encoded(np.ascontiguousarray(mnist.pixels[0][:, 1:])))

    ran = digits("--normalize", "never", file, root=published.root)

    assert ran.returncode == 1
    assert "expected 28x28 pixels, received 27x28 (width x height)" in ran.stderr


def test_a_blank_picture_is_a_bad_file(published: Published, tmp_path: Path) -> None:
    file = tmp_path / "blank.png"
    file.write_bytes(encoded(np.full((50, 60), 255, dtype=np.uint8)))

    ran = digits(file, root=published.root)

    assert ran.returncode == 1
    assert f"{file}: no ink found" in ran.stderr


@pytest.mark.parametrize(
    ("threshold", "bright", "said"),
    [
        pytest.param(0.46, False, "1 (0.4553), no digit is probable enough", id="an empty set"),
        pytest.param(0.3, False, "1 (0.4553)", id="the digit alone"),
        pytest.param(0.1, False, "1 (0.4553), may be 1 or 5 or 9", id="several"),
        pytest.param(0.3, True, "1 (0.6455), not a digit?", id="no digit"),
    ],
)
def test_a_doubt_is_said(threshold: float, said: str, tmp_path: Path, files: list[Path], *, bright: bool) -> None:
    trusted = publish_trusted(tmp_path / "models", threshold=threshold)
    if bright:
        files[7].write_bytes(encoded(np.random.default_rng(0).integers(100, 256, (28, 28), dtype=np.uint8)))

    ran = digits("--normalize", "never", files[7], root=trusted.root)

    assert ran.stdout == f"{files[7]}: {said}\n"


def test_json_lines_say_how_far_the_answer_can_be_trusted(files: list[Path], tmp_path: Path, mnist: Mnist) -> None:
    trusted = publish_trusted(tmp_path / "models", threshold=0.1)
    seven = to_features(mnist.pixels[mnist.labels == 7][:1])

    ran = digits("--json", files[7], root=trusted.root)

    answer = json.loads(ran.stdout)
    assert answer["prediction_set"] == [digit for digit in range(10) if answer["probabilities"][digit] >= 0.1]
    assert answer["coverage"] == 0.99
    assert answer["is_digit"] is True
    assert answer["novelty"] == pytest.approx(2 * seven.mean())


def test_json_lines_of_a_version_from_before_do_not(files: list[Path], published: Published) -> None:
    ran = digits("--json", files[7], root=published.root)

    answer = json.loads(ran.stdout)
    assert answer.keys() == {"file", "digit", "probability", "probabilities", "preprocessing", "model"}
