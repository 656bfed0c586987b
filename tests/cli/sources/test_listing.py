"""The pictures of files and folders are listed in a fixed order."""

import os
from pathlib import Path

import pytest
from PIL import Image

from cli.sources.listing import Counts, Sources
from digits.pictures.decode import FORMATS, PICTURE_SUFFIXES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures at several depths, other files, and links that lead in a circle."""
    for name in ("10.png", "9.png", "a/1.JPG", "a.png", "b/c/2.tiff", ".hidden.png", ".git/3.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b/c/circle").symlink_to(tmp_path)
    (tmp_path / "broken.gif").symlink_to("nowhere")
    return tmp_path


def names(*sources: object) -> list[str]:
    return [picture.name for picture in Sources([*map(str, sources)]).pictures()]


def test_files_and_folders_are_sorted_by_name(folder: Path) -> None:
    listed = [os.path.relpath(name, folder) for name in names(folder)]

    assert listed == ["10.png", "9.png", "a.png", "a/1.JPG", "b/c/2.tiff", "broken.gif"]


def test_sources_keep_their_order_and_a_named_file_is_always_a_picture(folder: Path) -> None:
    sources = [str(folder / "notes.txt"), str(folder / "a"), str(folder / "9.png")]

    assert names(*sources) == [sources[0], str(folder / "a/1.JPG"), sources[2]]


def test_other_files_are_counted_and_the_output_is_no_picture_of_its_own_folder(folder: Path) -> None:
    output = folder / "b/results.parquet"
    output.write_text("from an earlier run")

    assert Sources([str(folder)], written=[output]).count() == Counts(pictures=6, others=1)


def test_the_endings_of_all_accepted_formats_count() -> None:
    Image.init()

    assert {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS} <= PICTURE_SUFFIXES
