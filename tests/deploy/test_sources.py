"""The plan of a run: each picture of the sources is in exactly one shard, in order."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from deploy.batch.shards import MAX_PARTS, SHARD_PICTURES
from deploy.batch.sources import plan, shard_from_json, shard_to_json


@pytest.mark.parametrize("row_group_size", [7, 999, 1000, 2100, 40_000])
def test_every_row_of_a_parquet_file_is_in_one_shard(row_group_size: int, tmp_path: Path) -> None:
    rows = SHARD_PICTURES * (MAX_PARTS + 4) + 3
    pictures = [str(number).encode() for number in range(rows)]
    pq.write_table(pa.table({"image": pictures}), tmp_path / "it.parquet", row_group_size=row_group_size)

    shards = plan([str(tmp_path / "it.parquet")], None).shards

    received = [picture for shard in shards for picture in shard.pictures()]
    assert received == [(f"it.parquet:{number}", picture) for number, picture in enumerate(pictures)]
    assert sum(map(len, shards)) == rows
    assert len(shards) >= MAX_PARTS


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_row_of_an_array_is_in_one_shard(save: Callable[..., None], tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (MAX_PARTS * SHARD_PICTURES // 10 + 3, 28, 28), dtype=np.uint8)
    pixels = np.concatenate([pixels] * 12)
    save(tmp_path / "it.npz", x=pixels)

    shards = plan([str(tmp_path / "it.npz")], None).shards

    received = [picture for shard in shards for picture in shard.pictures()]
    assert [picture_id for picture_id, _ in received] == [str(number) for number in range(len(pixels))]
    np.testing.assert_array_equal([picture for _, picture in received], pixels)
    assert len(shards) == MAX_PARTS


def test_a_folder_is_split_by_the_number_of_its_pictures(tmp_path: Path) -> None:
    for number in range(SHARD_PICTURES + 1):
        (tmp_path / f"{number:04}.png").touch()

    planned = plan([str(tmp_path)], None)

    assert [len(shard) for shard in planned.shards] == [SHARD_PICTURES, 1]
    assert planned.pictures == SHARD_PICTURES + 1


def test_symbolic_links_are_followed_except_in_circles(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "7.png").touch()
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "c").symlink_to(tmp_path / "elsewhere")

    (shard,) = plan([str(tmp_path / "a")], None).shards

    assert [picture_id for picture_id, _ in shard.pictures()] == ["c/7.png"]


def test_a_shard_of_each_kind_survives_encoding_as_json(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.png")).touch()
    np.savez(tmp_path / "b.npz", x=np.zeros((3, 28, 28), dtype=np.uint8))
    pq.write_table(pa.table({"image": [b"7"], "id": ["seven"]}), tmp_path / "a.parquet")
    shards = plan([str(tmp_path)], None).shards

    received = [shard_from_json(shard_to_json(shard)) for shard in shards]

    assert received == shards
    assert [type(shard).__name__ for shard in received] == ["ParquetRows", "NpzRows", "PictureFiles"]
