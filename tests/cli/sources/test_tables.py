"""Each row of an NPZ or Parquet file is a picture, or the reason why it is not one."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.sources.listing import Counts, Sources
from cli.sources.tables import UnusableSource
from digits.errors import DigitsError
from digits.features import Grey
from tests.conftest import encoded

Make = Callable[[Path], Path]


def parquet(row_group_size: int | None = None, **columns: Any) -> Make:
    def make(folder: Path) -> Path:
        options = {"row_group_size": row_group_size, "write_page_checksum": True}
        pq.write_table(pa.table(columns), folder / "it.parquet", **options)
        return folder / "it.parquet"

    return make


def arrays(save: Callable[..., None] = np.savez, **named: Any) -> Make:
    def make(folder: Path) -> Path:
        save(folder / "it.npz", **named)
        return folder / "it.npz"

    return make


PIXELS: Grey = np.random.default_rng(0).integers(0, 256, (100, 28, 28), dtype=np.uint8)
FILES = [encoded(pixels) for pixels in PIXELS]
AS_FLOATS = (PIXELS.reshape(-1, 784) / 255).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(arrays(x_test=PIXELS, y_test=np.arange(100)), PIXELS, id="an array of uint8"),
        pytest.param(arrays(np.savez_compressed, x=PIXELS), PIXELS, id="a compressed array"),
        pytest.param(arrays(x=AS_FLOATS), AS_FLOATS.reshape(-1, 28, 28), id="an array of floats in rows of 784"),
        pytest.param(parquet(image=FILES, label=range(100)), FILES, id="a column of encoded pictures"),
        pytest.param(parquet(7, image=[{"bytes": file, "path": ""} for file in FILES]), FILES, id="Hugging Face"),
        pytest.param(parquet(a=pa.array(PIXELS.tolist(), pa.list_(pa.list_(pa.uint8())))), PIXELS, id="lists of rows"),
        pytest.param(parquet(99, a=PIXELS.reshape(-1, 784).tolist()), PIXELS, id="lists of 784"),
    ],
)
def test_every_row_is_one_picture_with_the_number_of_its_row(make: Make, expected: Any, tmp_path: Path) -> None:
    file = make(tmp_path)

    pictures = list(Sources([str(tmp_path)]).pictures())

    assert Sources([str(tmp_path)]).count() == Counts(pictures=100, others=0)
    assert [picture.name for picture in pictures] == [f"{file}#{row}" for row in range(100)]
    for picture, row in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(picture.content, row)
        assert np.asarray(picture.content).dtype == np.asarray(row).dtype


WHITE = np.full((28, 28), 255)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param((WHITE / 255 * 1.01).tolist(), "expected floats from 0 to 1", id="floats above 1"),
        pytest.param((WHITE * np.nan).tolist(), "expected floats from 0 to 1", id="NaN"),
        pytest.param((WHITE + 1).tolist(), "expected integers from 0 to 255", id="256"),
        pytest.param(WHITE[1:].tolist(), "expected 28x28 or 784 numbers, received 27x28", id="27 rows"),
        pytest.param([*WHITE[1:].tolist(), [255]], "received rows of different lengths", id="ragged rows"),
        pytest.param(None, "expected a picture, received null", id="null as a picture"),
    ],
)
def test_a_row_that_is_no_picture_is_an_error_and_the_others_are_read(values: Any, reason: str, tmp_path: Path) -> None:
    good = (PIXELS[0] / 255 if "floats" in reason else PIXELS[0].astype(int)).tolist()
    parquet(pixels=[good, values, good])(tmp_path)

    first, bad, last = (picture.content for picture in Sources([str(tmp_path)]).pictures())

    assert isinstance(bad, DigitsError)
    assert reason in str(bad)
    np.testing.assert_array_equal(first, last)


@pytest.mark.parametrize(
    ("make", "readable"),
    [
        pytest.param(arrays(np.savez_compressed, x=np.tile(PIXELS, (3, 1, 1))), range(64, 299), id="NPZ: what follows"),
        pytest.param(parquet(20, image=FILES * 3), range(260, 299), id="Parquet: its row groups"),
    ],
)
def test_damage_loses_only_the_rows_that_cannot_be_read(make: Make, readable: range, tmp_path: Path) -> None:
    file = make(tmp_path)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    file.write_bytes(content)

    pictures = [picture.content for picture in Sources([str(tmp_path)]).pictures()]

    errors = [content for content in pictures if isinstance(content, DigitsError)]
    assert len(pictures) == 300
    assert 300 - len(errors) in readable
    assert all(str(error).startswith("cannot be read: ") for error in errors)


TWO = np.zeros((2, 28, 28), dtype=np.uint8)


def a_file(name: str) -> Make:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(b"x")
        return folder / name

    return make


def header_only(text: str, content: bytes = b"") -> Make:
    """Return an NPZ file with an array that has this header."""

    def make(folder: Path) -> Path:
        header = text.encode().ljust(117) + b"\n"
        with zipfile.ZipFile(folder / "it.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + content)
        return folder / "it.npz"

    return make


def shaped(shape: str) -> str:
    return f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}"


@pytest.mark.parametrize(
    ("make", "column", "message"),
    [
        pytest.param(
            header_only(shaped("(1000000000000, 784)"), bytes(7840)), None, "the file is too small", id="too many rows"
        ),
        pytest.param(arrays(x=TWO[:0]), None, "expected pictures, received a file without any", id="an empty array"),
        pytest.param(a_file("a.parquet"), None, "expected a Parquet file, but reading failed: ", id="not Parquet"),
        pytest.param(a_file("a.npz"), None, "expected an NPZ file, but reading failed: ", id="not NPZ"),
        pytest.param(arrays(a=TWO, b=TWO), None, "several arrays hold pictures, choose one with", id="two arrays"),
        pytest.param(arrays(a=TWO), "b", "an array 'b', received a uint8 (2, 28, 28)", id="no such array"),
        pytest.param(arrays(a=TWO[:, 1:]), "a", "or (N, 784), received uint8 (2, 27, 28)", id="a wrong shape"),
        pytest.param(parquet(a=[b"7"], b=[b"7"]), None, "several columns may hold pictures, choose", id="two columns"),
        pytest.param(parquet(label=[7]), None, "or 784 numbers, received the columns label", id="no fitting column"),
        pytest.param(
            parquet(digit=[7, 1], probabilities=[[0.1] * 10] * 2, prediction_set=[[7], [1, 7]]),
            None,
            "received the columns digit, probabilities, prediction_set",
            id="results",
        ),
        pytest.param(
            parquet(digit=pa.nulls(2, pa.int64()), prediction_set=pa.nulls(2, pa.list_(pa.int64()))),
            None,
            "received the columns digit, prediction_set",
            id="results without an answer",
        ),
        pytest.param(parquet(a=[b"7"]), "b", "expected a column 'b', received a", id="no such column"),
    ],
)
def test_a_file_without_a_column_of_pictures_is_refused_by_name(
    make: Make, column: str | None, message: str, tmp_path: Path
) -> None:
    file = make(tmp_path)

    with pytest.raises(UnusableSource) as refused:
        Sources([str(file)], column).count()

    assert str(refused.value).startswith(f"{file}: ")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_table_of_labels_in_a_folder_is_skipped_unless_its_column_is_named(tmp_path: Path) -> None:
    parquet(file=["7.png"], label=[7])(tmp_path)
    (tmp_path / "7.png").write_bytes(FILES[0])

    assert Sources([str(tmp_path)]).count() == Counts(pictures=1, others=1)
    assert [picture.name for picture in Sources([str(tmp_path)]).pictures()] == [f"{tmp_path}/7.png"]
    with pytest.raises(UnusableSource, match="expected a column 'image', received file, label"):
        Sources([str(tmp_path)], "image").count()
