"""MNIST is loaded, checked and split."""

import gzip
import re
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.conftest import Arrays, Command, saved
from training.data import images as mnist
from training.errors import DataNotFound, InvalidData, SplitTooSmall
from training.network.recipes import RECIPES

IDX_NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(parent: Path, arrays: Arrays, *, dotted: bool = False, gzipped: bool = False) -> Path:
    (folder := parent / "idx").mkdir()
    for array, name in IDX_NAMES.items():
        spelled = name.replace("-idx", ".idx") if dotted else name
        content = idx(arrays[array])
        (folder / (spelled + ".gz" * gzipped)).write_bytes(gzip.compress(content) if gzipped else content)
    return folder


def wide_npz(folder: Path, arrays: Arrays) -> Path:
    return saved(folder / "wide.npz", arrays | {"y_train": arrays["y_train"].astype(np.int64)})


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(wide_npz, id="an npz file with wider labels"),
        pytest.param(write_idx, id="IDX files"),
        pytest.param(partial(write_idx, dotted=True, gzipped=True), id="gzipped IDX files with dots in their names"),
    ],
)
def test_every_form_gives_the_same_data(
    tmp_path: Path, npz: Path, arrays: Arrays, write: Callable[[Path, Arrays], Path]
) -> None:
    files = write(tmp_path, arrays), npz

    data, from_npz = (mnist.load(str(file), allow_other_data=True, preprocessing="resize") for file in files)

    assert (data.name, data.sha256()) == ("other", from_npz.sha256())
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(data, name), array)


def test_refused_data_are_reported_in_one_line_with_both_hashes_and_the_option(npz: Path, command: Command) -> None:
    outcome = command("describe", "--data", npz)

    assert outcome.is_refusal_in_one_line
    assert outcome.err.startswith("digits: this is not MNIST: ")
    assert "--allow-other-data" in outcome.err
    for name, expected in mnist.KNOWN_SHA256.items():
        assert f"{name}: expected sha256 {expected}, received " in outcome.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"x_train": None}, "expected the arrays x_train, y_train, x_test, y_test", id="a missing array"),
        pytest.param({"x_train": np.zeros((60, 28, 29), np.uint8)}, r"received uint8 \(60, 28, 29\)", id="29 columns"),
        pytest.param({"x_train": np.zeros((60, 28, 28))}, r"received float64 \(60, 28, 28\)", id="float pixels"),
        pytest.param({"x_test": np.zeros((0, 28, 28), np.uint8)}, r"received uint8 \(0, 28, 28\)", id="no images"),
        pytest.param({"y_train": np.zeros(59, np.uint8)}, "expected 60 integer labels", id="one label missing"),
        pytest.param({"y_train": np.arange(60) % 10 + 1}, "class at least once, received no 0", id="labels from 1"),
        pytest.param({"y_test": np.arange(30) % 9}, "received no 9", id="a digit without images"),
    ],
)
def test_arrays_not_in_mnists_form_are_refused(tmp_path: Path, arrays: Arrays, change: Arrays, message: str) -> None:
    file = saved(tmp_path / "bad.npz", arrays | change)

    with pytest.raises(InvalidData, match=message):
        mnist.load(str(file), allow_other_data=True)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _whole: b"seven", id="text"),
        pytest.param(lambda whole: whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:], id="one bit flipped"),
        pytest.param(
            lambda whole: re.sub(rb"(PK\x03\x04..|PK\x01\x02....)\0", b"\\1\x01", whole, flags=re.DOTALL),
            id="encrypted",
        ),
    ],
)
def test_a_damaged_npz_file_is_refused_by_name(npz: Path, damage: Callable[[bytes], bytes]) -> None:
    npz.write_bytes(damage(npz.read_bytes()))

    with pytest.raises(InvalidData, match=r"other\.npz: expected"):
        mnist.load(str(npz), allow_other_data=True)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(lambda _whole: b"", "starts with 00000803, received", id="an empty file"),
        pytest.param(lambda whole: b"\0\0\x08\x01" + whole[4:], "received 00000801", id="the header of labels"),
        pytest.param(lambda whole: whole[:-1], "expected 47056 bytes .* received 47055", id="one byte short"),
        pytest.param(lambda whole: gzip.compress(whole)[:-20], "cannot be read completely", id="gzip cut short"),
    ],
)
def test_a_bad_idx_file_is_refused(
    tmp_path: Path, arrays: Arrays, damage: Callable[[bytes], bytes], message: str
) -> None:
    folder = write_idx(tmp_path, arrays)
    file = folder / IDX_NAMES["x_train"]
    file.write_bytes(damage(file.read_bytes()))

    with pytest.raises(InvalidData, match=message):
        mnist.load(str(folder), allow_other_data=True)


def test_what_is_missing_is_named(tmp_path: Path, arrays: Arrays) -> None:
    folder, circles = write_idx(tmp_path, arrays), tmp_path / "circle"
    (folder / IDX_NAMES["y_test"]).unlink()
    circles.mkdir()
    (circles / "a.png").write_bytes(b"")

    for source, message in (
        (folder, r"t10k-labels-idx1-ubyte, t10k-labels-idx1-ubyte\.gz"),
        (tmp_path / "nowhere", "nowhere"),
        (circles, rf"received a\.png; .* name the folder .*: {tmp_path}$"),
    ):
        with pytest.raises(DataNotFound, match=message):
            mnist.load(str(source))


EVEN = np.arange(60) % 10


def labelled(labels: np.ndarray) -> mnist.LabelledImages:
    """Make data whose images contain their index, so that each image can be identified."""
    numbered = np.zeros((len(labels), 28, 28), np.uint8)
    numbered[:, 0, :4] = np.arange(len(labels), dtype=">u4").view(np.uint8).reshape(-1, 4)
    return mnist.LabelledImages("other", numbered, labels.astype(np.uint8), numbered[:1], labels[:1].astype(np.uint8))


def numbers(images: np.ndarray) -> list[int]:
    """Return the indices of images from `labelled`."""
    indices: list[int] = np.ascontiguousarray(images[:, 0, :4]).view(">u4").ravel().tolist()
    return indices


def test_of_mnists_60_000_images_5_000_are_for_validation_and_5_000_for_calibration() -> None:
    # As many of each digit as MNIST has.
    labels = np.repeat(np.arange(10), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])

    split = mnist.split_training_images(labelled(labels), validation_split=RECIPES["lecture"].validation_split)

    assert [len(part) for part in (split.y_train, split.y_validation, split.y_calibration)] == [50_000, 5_000, 5_000]
    for part in (split.y_train, split.y_validation, split.y_calibration):
        np.testing.assert_allclose(np.bincount(part), np.bincount(labels) * len(part) / 60_000, atol=1)


@given(
    counts=st.lists(st.integers(20, 60), min_size=10, max_size=10),
    part=st.floats(0.1, 0.4),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=30)
def test_a_split_puts_every_image_into_one_of_three_stratified_parts(counts: list[int], part: float, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(10), counts))
    data = labelled(labels)

    split = mnist.split_training_images(data, validation_split=part)

    whole = [*numbers(split.x_train), *numbers(split.x_validation), *numbers(split.x_calibration)]
    assert sorted(whole) == list(range(len(labels)))
    assert len(split.y_validation) == len(split.y_calibration) == round(part * len(labels))
    for name in ("train", "validation", "calibration"):
        x, y = getattr(split, f"x_{name}"), getattr(split, f"y_{name}")
        np.testing.assert_array_equal(y, labels[numbers(x)])
        # Each of the two cuts may round a class by one image.
        np.testing.assert_allclose(np.bincount(y, minlength=10), np.array(counts) * len(y) / len(labels), atol=2)


def with_nines(count: int) -> np.ndarray:
    return np.array([*np.repeat(np.arange(9), 10), *[9] * count])


@pytest.mark.parametrize(
    ("labels", "part", "reason"),
    [
        pytest.param(EVEN, 0.01, "--validation-split 0.01 of 60 training images: expected", id="one validation image"),
        pytest.param(EVEN, 0.49, "expected every class in all three parts", id="two training images"),
        pytest.param(with_nines(1), 0.15, "in all three parts; .* only 1 member", id="one image of a digit"),
        pytest.param(with_nines(3), 0.15, "in the calibration part, received no 9", id="three images of a digit"),
    ],
)
def test_a_split_without_a_digit_is_refused(labels: np.ndarray, part: float, reason: str) -> None:
    with pytest.raises(SplitTooSmall, match=reason):
        mnist.split_training_images(labelled(labels), validation_split=part)
