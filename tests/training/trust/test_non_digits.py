"""Pictures of no digit: those that a novelty head learns from, and those that it is tested on."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from digits.features import Grey
from tests.conftest import Mnist
from training.data import Labels
from training.trust import drawing
from training.trust import out_of_distribution as outliers
from training.trust import outlier_exposure as exposure

KINDS = ["letters", "shapes", "textures", "two digits", "noise"]


@pytest.fixture(scope="module")
def labels(mnist: Mnist) -> Labels:
    return mnist.labels.astype(np.uint8)


def hold_to_form(pictures: Grey) -> None:
    """What the network can be shown."""
    assert pictures.dtype == np.uint8
    assert pictures.shape[1:] == (28, 28)
    assert (pictures.max(axis=(1, 2)) > 0).all()
    # None is the same as another, and none has one grey all over.
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    assert (pictures.max(axis=(1, 2)) > pictures.min(axis=(1, 2))).all()


def test_so_many_pictures_to_learn_from_are_made(mnist: Mnist, labels: Labels) -> None:
    found = exposure.nondigits(mnist.pixels, labels, 450, 0)

    assert 430 <= len(found) <= 450
    hold_to_form(found)


def test_the_seed_decides_them_and_not_how_many_threads_there_are(
    mnist: Mnist, labels: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = exposure.nondigits(mnist.pixels, labels, 120, 3)
    monkeypatch.setattr("os.cpu_count", lambda: 1)

    same, other = (exposure.nondigits(mnist.pixels, labels, 120, seed) for seed in (3, 4))

    np.testing.assert_array_equal(same, first)
    assert not np.array_equal(other[:50], first[:50])


def test_they_are_no_copies_of_the_digits(mnist: Mnist, labels: Labels) -> None:
    digits = {picture.tobytes() for picture in mnist.pixels}

    found = exposure.nondigits(mnist.pixels, labels, 250, 0)

    assert not any(picture.tobytes() in digits for picture in found)


def idx(file: Path, images: Grey) -> None:
    file.write_bytes(gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", *images.shape) + images.tobytes()))


def test_there_are_pictures_of_each_kind_the_same_each_time(
    mnist: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outliers, "FASHION", tmp_path / "nowhere.gz")
    monkeypatch.setattr(outliers, "_FONTS", ("DejaVuSans", "cmr10"))

    found, again = outliers.outliers(mnist.pixels, 20), outliers.outliers(mnist.pixels, 20)

    assert list(found) == KINDS
    for kind, pictures in found.items():
        hold_to_form(pictures)
        np.testing.assert_array_equal(again[kind], pictures)
    # Each letter in two fonts; of the others, those that have ink: clear sky has none.
    assert len(found.pop("letters")) == 2 * len(outliers.LETTERS)
    assert 8 <= len(found.pop("textures")) <= 20
    assert all(19 <= len(pictures) <= 20 for pictures in found.values())


def test_clothes_are_there_where_their_file_is_as_they_are_and_normalized(
    mnist: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clothes = np.random.default_rng(0).integers(1, 256, (40, 28, 28), dtype=np.uint8)
    clothes[:, :, :10] = 0
    idx(tmp_path / "clothes.gz", clothes)
    monkeypatch.setattr(outliers, "FASHION", tmp_path / "clothes.gz")
    monkeypatch.setattr(outliers, "_FONTS", ("DejaVuSans",))

    found = outliers.outliers(mnist.pixels, 20)

    assert list(found) == ["Fashion-MNIST, as it is", "Fashion-MNIST", *KINDS]
    chosen = found["Fashion-MNIST, as it is"]
    assert len(chosen) == 20
    assert {picture.tobytes() for picture in chosen} <= {picture.tobytes() for picture in clothes}
    np.testing.assert_array_equal(found["Fashion-MNIST"], drawing.normalized(list(chosen)))


def test_more_clothes_than_there_are_are_not_asked_for(
    mnist: Mnist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    idx(tmp_path / "clothes.gz", np.random.default_rng(0).integers(1, 256, (3, 28, 28), dtype=np.uint8))
    monkeypatch.setattr(outliers, "FASHION", tmp_path / "clothes.gz")
    monkeypatch.setattr(outliers, "_FONTS", ("DejaVuSans",))

    assert len(outliers.outliers(mnist.pixels, 5)["Fashion-MNIST, as it is"]) == 3


def test_no_letter_looks_like_a_digit() -> None:
    assert set(outliers.LETTERS).isdisjoint("BDIOSZbgilqoszy")
    assert len(set(outliers.LETTERS)) == len(outliers.LETTERS)


def test_a_page_without_ink_is_left_out(mnist: Mnist) -> None:
    blank = np.zeros((28, 28), dtype=np.uint8)

    assert len(drawing.normalized([mnist.pixels[0], blank, mnist.pixels[1]])) == 2
    assert drawing.normalized([blank]).shape == (0, 28, 28)
