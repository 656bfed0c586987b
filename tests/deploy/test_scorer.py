"""A shard's pictures are normalized and classified, and pictures that cannot be are rejected with a reason."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from deploy.batch.scorer import Scorer
from deploy.batch.sources import Shard, plan, shard_to_json
from digits.features import Grey
from tests.conftest import Published, encoded, publish_classes, publish_trusted


def only_shard(source: Path) -> Shard:
    (shard,) = plan([str(source)], None).shards
    return shard


@pytest.fixture
def npz(tmp_path: Path, ten_digits: Grey) -> Path:
    np.savez(tmp_path / "ten.npz", x=ten_digits)
    return tmp_path / "ten.npz"


def test_a_model_without_calibration_has_no_trust_columns(published: Published, tmp_path: Path, npz: Path) -> None:
    table, _ = Scorer(published.folder, "auto", tmp_path).score(only_shard(npz))

    assert table.column_names == [
        "id", "source", "digit", "probability", "probabilities", "preprocessing", "version"
    ]  # fmt: skip


def test_a_model_of_other_classes_has_a_column_of_names(tmp_path: Path, npz: Path, ten_digits: Grey) -> None:
    (tmp_path / "large.png").write_bytes(encoded(ten_digits[7].repeat(2, axis=0).repeat(3, axis=1)))
    own = publish_classes(tmp_path / "models", ["cat", "dog", "cow"])

    scorer = Scorer(own.folder, "auto", tmp_path)
    of_arrays, _ = scorer.score(only_shard(npz))
    of_picture, _ = scorer.score(only_shard(tmp_path / "large.png"))

    assert of_arrays.column_names[2:4] == ["digit", "class_name"]
    for row in of_arrays.to_pylist():
        assert row["class_name"] == ["cat", "dog", "cow"][row["digit"]]
        assert len(row["probabilities"]) == 3
    assert of_arrays["preprocessing"].to_pylist() == [[]] * 10
    assert of_picture["preprocessing"].to_pylist() == [["resized"]]


def test_a_calibrated_model_has_trust_columns(tmp_path: Path, npz: Path) -> None:
    trusted = publish_trusted(tmp_path / "models", threshold=0.1)

    table, _ = Scorer(trusted.folder, "auto", tmp_path).score(only_shard(npz))

    assert {"prediction_set", "coverage", "is_digit", "novelty"} <= set(table.column_names)
    for row in table.to_pylist():
        assert row["prediction_set"] == [digit for digit in range(10) if row["probabilities"][digit] >= 0.1]
        assert row["is_digit"] == (row["novelty"] <= 1)


@pytest.mark.parametrize(
    ("mode", "steps", "reason"),
    [
        pytest.param("auto", [[], ["inverted", "cropped", "thickened", "centered"]], None, id="auto"),
        pytest.param(
            "always",
            [["cropped", "thickened", "centered"], ["inverted", "cropped", "thickened", "centered"]],
            None,
            id="always",
        ),
        pytest.param("never", [[]], "28x28", id="never"),
    ],
)
def test_the_mode_decides_which_pictures_are_normalized(
    mode: Any, steps: list[list[str]], reason: str | None, tmp_path: Path, published: Published, ten_digits: Grey
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "1-in-form.png").write_bytes(encoded(ten_digits[7]))
    large = 255 - ten_digits[7].repeat(5, axis=0).repeat(5, axis=1)
    (pictures / "2-large.png").write_bytes(encoded(Image.fromarray(large)))

    table, rejections = Scorer(published.folder, mode, tmp_path).score(only_shard(pictures))

    assert table["preprocessing"].to_pylist() == steps
    assert len(rejections) == (0 if reason is None else 1)
    assert all(str(reason) in rejection["reason"] for rejection in rejections)


WHITE = np.full((28, 28), 255)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        pytest.param((WHITE / 255 * 1.01).tolist(), "expected floats from 0 to 1", id="floats above 1"),
        pytest.param((WHITE * np.nan).tolist(), "expected floats from 0 to 1", id="NaN"),
        pytest.param((WHITE + 1).tolist(), "expected integers from 0 to 255", id="256"),
        pytest.param((-WHITE).tolist(), "expected integers from 0 to 255", id="negative"),
        pytest.param(WHITE[1:].tolist(), "expected 28x28 or 784 numbers, received 27x28", id="27 rows"),
        pytest.param([*WHITE[1:].tolist(), [255]], "received rows of different lengths", id="ragged rows"),
        pytest.param([*WHITE[1:].tolist(), None], "received rows of different lengths", id="null as a row"),
        pytest.param([*WHITE[1:].tolist(), [None] * 28], "received nulls among them", id="null as a pixel"),
        pytest.param(None, "expected a picture, received null", id="null as a picture"),
    ],
)
def test_lists_that_are_not_pictures_are_rejected(
    values: Any, reason: str, tmp_path: Path, published: Published, ten_digits: Grey
) -> None:
    good = ten_digits[0] / 255 if "floats" in reason else ten_digits[0].astype(int)
    pq.write_table(pa.table({"pixels": [good.tolist(), values]}), tmp_path / "it.parquet")

    table, (rejection,) = Scorer(published.folder, "never", tmp_path).score(only_shard(tmp_path / "it.parquet"))

    assert table["id"].to_pylist() == ["it.parquet:0"]
    assert rejection["id"] == "it.parquet:1"
    assert reason in rejection["reason"]


def test_a_file_name_that_is_not_utf8_becomes_an_escaped_id(
    tmp_path: Path, published: Published, ten_digits: Grey
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / os.fsdecode(b"\xff.png")).write_bytes(encoded(ten_digits[7]))

    table, _ = Scorer(published.folder, "auto", tmp_path).score(only_shard(pictures))

    assert table["id"].to_pylist() == ["\\xff.png"]


@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_damage_rejects_only_the_pictures_that_cannot_be_read(kind: str, tmp_path: Path, published: Published) -> None:
    file = tmp_path / f"it.{kind}"
    pixels = np.random.default_rng(0).integers(0, 256, (300, 28, 28), dtype=np.uint8)
    if kind == "npz":
        np.savez_compressed(file, x=pixels)
    else:
        table = pa.table({"image": [encoded(picture) for picture in pixels]})
        pq.write_table(table, file, row_group_size=20, write_page_checksum=True)
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    file.write_bytes(content)

    table, rejections = Scorer(published.folder, "never", tmp_path).score(only_shard(file))

    assert 64 <= table.num_rows < 300
    assert table.num_rows + len(rejections) == 300
    assert all(rejection["reason"].startswith("cannot be read: ") for rejection in rejections)


def test_an_actor_reports_a_source_that_its_node_does_not_have(published: Published, tmp_path: Path, npz: Path) -> None:
    shard = shard_to_json(only_shard(npz))
    npz.unlink()

    reply = Scorer(published.folder, "auto", tmp_path)({"number": np.array([0]), "shard": np.array([shard])})

    assert reply["failure"].tolist() == [f"{npz} does not exist on a node of the cluster"]
    assert json.loads(shard)["kind"] == "NpzRows"
