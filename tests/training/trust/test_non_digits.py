"""Non-digit pictures are made to train the novelty head and to test it."""

from pathlib import Path

import numpy as np
import pytest

from digits.features import Grey
from tests.conftest import Mnist
from training.data.images import Labels
from training.trust import drawing, out_of_distribution, outlier_exposure, signs

KINDS = ["printed letters", "signs of other kinds", "textures", "two digits", "noise"]


@pytest.fixture(scope="module")
def labels(mnist: Mnist) -> Labels:
    return mnist.labels.astype(np.uint8)


def check_pictures(pictures: Grey) -> None:
    """Check that the network can classify these pictures, and that they differ."""
    assert pictures.dtype == np.uint8
    assert pictures.shape[1:] == (28, 28)
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    assert (pictures.max(axis=(1, 2)) > pictures.min(axis=(1, 2))).all()


def test_the_seed_determines_the_training_pictures_whatever_the_number_of_threads(
    mnist: Mnist, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = outlier_exposure.outliers(mnist.pixels, labels, 250, 0)
    monkeypatch.setattr("os.cpu_count", lambda: 1)

    same, other = (outlier_exposure.outliers(mnist.pixels, labels, 250, seed) for seed in (0, 1))

    np.testing.assert_array_equal(same, first)
    assert not np.array_equal(other[:50], first[:50])
    assert 230 <= len(first) <= 250
    check_pictures(first)
    assert not {picture.tobytes() for picture in mnist.pixels} & {picture.tobytes() for picture in first}


@pytest.mark.parametrize("forms", [signs.SIGNS, signs.WRITTEN, signs.HELD_BACK], ids=["signs", "letters", "held back"])
def test_every_form_can_be_drawn_and_no_two_drawings_are_alike(forms: signs.Forms) -> None:
    for kind, ways in forms.items():
        for way in ways:
            drawn = [signs.draw({kind: [way]}, np.random.default_rng(seed)) for seed in range(3)]
            check_pictures(drawing.normalize_pictures(drawn))


def test_no_held_back_sign_is_trained_on() -> None:
    assert not set(signs.HELD_BACK) & set(signs.SIGNS)
    assert not set("0123456789OoIlSsZzBbgqDQ") & {*signs.LETTERS, *signs.WRITTEN}


def test_every_test_picture_is_the_same_each_time(
    mnist: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(out_of_distribution, "FASHION", tmp_path / "nowhere.gz")
    monkeypatch.setattr(out_of_distribution, "_FONTS", ("DejaVuSans", "cmr10"))

    pictures, again = (out_of_distribution.other_pictures(mnist.pixels, 20) for _ in range(2))

    assert list(pictures) == KINDS
    for kind, of_kind in pictures.items():
        check_pictures(of_kind)
        np.testing.assert_array_equal(again[kind], of_kind)
    # Each letter comes in two fonts. Pictures without ink are missing, such as clear sky.
    assert len(pictures.pop("printed letters")) == 2 * len(signs.LETTERS)
    assert 8 <= len(pictures.pop("textures")) <= 20
    assert all(19 <= len(of_kind) <= 20 for of_kind in pictures.values())
