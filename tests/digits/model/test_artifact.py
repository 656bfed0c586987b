"""Artifacts are published atomically, and damaged ones are refused with the file and the reason."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from digits.errors import DamagedArtifact, PublishFailed
from digits.model import artifact
from digits.model.artifact import (
    GOLDEN,
    KERAS,
    MANIFEST,
    MAX_FILE_BYTES,
    MAX_JSON_BYTES,
    MAX_VERSION,
    MODEL,
    read_version,
    versions,
)
from digits.model.classifier import Classifier
from tests.conftest import (
    MANIFEST_FIELDS,
    REPOSITORY,
    Published,
    edit_manifest,
    file_size_limit,
    make_files,
    publish_tiny,
)

PUBLISH_WITHOUT_END = """
import pathlib, sys
from digits.model import artifact

source, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
files = {str(path.relative_to(source)): path.read_bytes() for path in source.rglob("*") if path.is_file()}
del files[artifact.MANIFEST]
while True:
    artifact.publish(root, files, artifact.read_manifest(source).model_dump())
"""


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def staging_folders(root: Path) -> list[Path]:
    return list((root / artifact.NAME).glob(".publishing-*"))


class TestPublish:
    def test_a_published_version_reads_back_identically(self, tmp_path: Path) -> None:
        files = make_files(seed=1)

        manifest = artifact.publish(tmp_path, files, MANIFEST_FIELDS)

        folder = tmp_path / artifact.NAME / str(manifest.version)
        read, kept = read_version(folder)
        assert read == manifest
        assert kept == {MODEL: files[MODEL], GOLDEN: files[GOLDEN]}
        assert manifest.files == {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
        assert staging_folders(tmp_path) == []
        assert {path: data for path, data in content(folder).items() if path != MANIFEST} == files

    @pytest.mark.parametrize(
        ("existing", "number"),
        [(None, 1000), (3, 1000), (1000, 1001), (5000, 5001), (MAX_VERSION - 1, MAX_VERSION), (MAX_VERSION + 1, 1000)],
        ids="after {}".format,
    )
    def test_own_numbers_start_above_those_of_releases_and_increase_by_one(
        self, tmp_path: Path, existing: int | None, number: int
    ) -> None:
        if existing is not None:
            (tmp_path / artifact.NAME / str(existing)).mkdir(parents=True)

        assert publish_tiny(tmp_path).manifest.version == number

    @pytest.mark.parametrize("begin", [artifact.require_root, publish_tiny], ids=["a training", "publishing"])
    def test_nothing_can_be_published_above_the_highest_number(
        self, tmp_path: Path, begin: Callable[[Path], object]
    ) -> None:
        (tmp_path / artifact.NAME / str(MAX_VERSION)).mkdir(parents=True)

        with pytest.raises(PublishFailed, match="expected versions below 999999999, received 999999999: no number is"):
            begin(tmp_path)

    def test_stale_temporary_folders_are_removed_and_recent_ones_stay(self, tmp_path: Path) -> None:
        stale, young = (tmp_path / artifact.NAME / f".publishing-{age}" for age in ("stale", "young"))
        for folder in (stale, young):
            (folder / "report").mkdir(parents=True)
        day_ago = time.time() - artifact.STALE_SECONDS - 60
        os.utime(stale, (day_ago, day_ago))

        publish_tiny(tmp_path)

        assert staging_folders(tmp_path) == [young]


def test_versions_are_whole_numbers_and_the_highest_comes_first(tmp_path: Path) -> None:
    others = ("0", "01", "-1", "1.0", "abc", "2.tmp", "٣", "²", "1234567890", "1 ", "1_0")
    for name in ("9", "10", "2", *others):
        (tmp_path / artifact.NAME / name).mkdir(parents=True)

    assert versions(tmp_path) == [10, 9, 2]
    assert versions(tmp_path / "nowhere") == []
    assert artifact.misnumbered(tmp_path) == [
        f"{tmp_path}/mnist-dense/1234567890: expected a version number of at most nine digits, received 10 digits"
    ]


Damage = Callable[[Path], object]


def replaced(path: str, change: Callable[[bytes], bytes]) -> Damage:
    return lambda folder: (folder / path).write_bytes(change((folder / path).read_bytes()))


def removed(path: str) -> Damage:
    return lambda folder: (folder / path).unlink()


def truncated(path: str, size: int) -> Damage:
    return lambda folder: os.truncate(folder / path, size)


def instead_of_the_model(make: Damage) -> Damage:
    """Return a function that moves the model out of its version, and makes something else in its place."""
    return lambda folder: (folder / MODEL).rename(folder.parent / "elsewhere") and make(folder / MODEL)


def with_fields(**changes: object) -> Damage:
    return lambda folder: edit_manifest(folder, changes)


def with_manifest(text: bytes) -> Damage:
    return lambda folder: (folder / MANIFEST).write_bytes(text)


def without_listing(path: str) -> Damage:
    def damage(folder: Path) -> None:
        files = artifact.read_manifest(folder).files
        edit_manifest(folder, {"files": {listed: checksum for listed, checksum in files.items() if listed != path}})

    return damage


LINK_OUT = f"{MODEL}: expected a file of the version, received a link out"
UNREADABLE = f"{MODEL}: cannot be read: "


class TestDamage:
    @pytest.mark.parametrize("path", [MODEL, KERAS, GOLDEN, "report/README.md"])
    @pytest.mark.parametrize(
        "change",
        [lambda data: bytes([data[0] ^ 1]) + data[1:], lambda data: data + b"\0"],
        ids=["a bit flipped", "a byte longer"],
    )
    def test_a_changed_file_is_refused_with_both_hashes(
        self, path: str, change: Callable[[bytes], bytes], published: Published
    ) -> None:
        content = (published.folder / path).read_bytes()
        replaced(path, change)(published.folder)

        with pytest.raises(DamagedArtifact) as refusal:
            read_version(published.folder)

        expected, received = (hashlib.sha256(each).hexdigest() for each in (content, change(content)))
        assert str(refusal.value) == f"{published.folder / path}: expected sha256 {expected}, received {received}"

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            *(
                pytest.param(removed(path), f"{path}: missing", id=f"no {path}")
                for path in (MODEL, KERAS, GOLDEN, MANIFEST, "report/README.md")
            ),
            pytest.param(truncated(KERAS, MAX_FILE_BYTES + 1), f"at most {MAX_FILE_BYTES} bytes", id="a byte over it"),
            pytest.param(truncated(MANIFEST, MAX_JSON_BYTES + 1), f"at most {MAX_JSON_BYTES} b", id="a long manifest"),
            pytest.param(truncated(GOLDEN, MAX_JSON_BYTES + 1), f"at most {MAX_JSON_BYTES} bytes", id="golden.json"),
            pytest.param(instead_of_the_model(Path.mkdir), f"{UNREADABLE}Is a directory", id="a folder"),
            pytest.param(instead_of_the_model(os.mkfifo), f"{UNREADABLE}Not a regular file", id="a FIFO"),
            pytest.param(instead_of_the_model(lambda file: file.symlink_to("/dev/zero")), LINK_OUT, id="to a device"),
            pytest.param(instead_of_the_model(lambda file: file.symlink_to("../elsewhere")), LINK_OUT, id="a link out"),
            *(
                pytest.param(with_manifest(text), f"{MANIFEST}: the document: ", id=repr(text[:2]))
                for text in (b"", b"{", b"[]", b"[" * 100_000, b"\xff")
            ),
            pytest.param(with_fields(format=2), "format: ", id="a later format"),
            pytest.param(with_fields(version=0), "version: ", id="version 0"),
            pytest.param(with_fields(version=999_999), "received 999999", id="the version of another folder"),
            pytest.param(with_fields(files={}), "files: ", id="no files"),
            *(
                pytest.param(with_fields(files={path: "0"}), "files: .*not a path below", id=repr(path))
                for path in ("a/../../b", "/etc/passwd", "..\\b", "a\0b", "")
            ),
            *(
                pytest.param(without_listing(name), f"{MANIFEST}: expected {name} in its list", id=f"{name} not listed")
                for name in (MODEL, GOLDEN)
            ),
        ],
    )
    def test_a_damaged_version_is_refused_with_the_file_and_the_reason(
        self, damage: Damage, message: str, published: Published
    ) -> None:
        damage(published.folder)

        with pytest.raises(DamagedArtifact, match=message):
            read_version(published.folder)

    def test_links_within_the_folder_are_followed_as_in_kubernetes_volumes(self, published: Published) -> None:
        revision = published.folder / "..2026_01_02"
        revision.mkdir()
        for entry in [entry for entry in published.folder.iterdir() if entry != revision]:
            entry.rename(revision / entry.name)
            entry.symlink_to(f"..data/{entry.name}")
        (published.folder / "..data").symlink_to(revision.name)

        assert read_version(published.folder)[0] == published.manifest

    def test_unknown_fields_and_unlisted_files_are_ignored(self, published: Published) -> None:
        edit_manifest(published.folder, {"licence": {"name": "MIT"}, "signature": "of a later release"})
        (published.folder / "NOTES").write_text("written by hand")

        assert read_version(published.folder)[0] == published.manifest


@pytest.mark.parametrize("taken", ["1/model", "1"], ids=["a folder", "a file"])
def test_a_folder_or_file_that_exists_is_not_overwritten(taken: str, tmp_path: Path) -> None:
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_bytes(b"older")

    assert not artifact.write_once(tmp_path / "1", {"model": b"newer"})
    assert content(tmp_path) == {taken: b"older"}


@pytest.mark.slow
@pytest.mark.parametrize("alive", range(3))
def test_a_killed_publisher_leaves_only_whole_versions(published: Published, alive: int) -> None:
    command = [sys.executable, "-c", PUBLISH_WITHOUT_END, str(published.folder), str(published.root)]

    with subprocess.Popen(command, cwd=REPOSITORY) as publisher:
        while len(versions(published.root)) < 2 + alive:
            assert publisher.poll() is None
        publisher.kill()

    for number in versions(published.root):
        Classifier.load(published.folder.with_name(str(number)))


def test_a_file_that_cannot_be_written_whole_is_not_published(published: Published) -> None:
    before, message = content(published.root), f"published below {published.folder.parent}: File too large"

    with file_size_limit(9_000), pytest.raises(PublishFailed, match=message):
        publish_tiny(published.root)

    assert content(published.root) == before
    assert staging_folders(published.root) == []
    Classifier.load(publish_tiny(published.root).folder)


@pytest.mark.parametrize("path", ["../outside", "report/../../outside", "/nowhere/outside", ""])
def test_a_path_out_of_the_version_is_refused_before_anything_is_written(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a path below the version's folder"):
        artifact.publish(tmp_path, {**make_files(0), path: b""}, MANIFEST_FIELDS)

    assert content(tmp_path) == {}
