"""The finder says nothing where nothing is written, and a version is checked before it is used."""

import json
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits.errors import ArtifactError, DamagedArtifact, GoldenMismatch
from digits.finder.network import CLASSES, NAME, FinderNetwork, shipped, shipped_version, written
from digits.model.artifact import NAME as CLASSIFIER
from digits.model.artifact import SHIPPED, versions
from tests.conftest import rewrite

OTHER = (SHIPPED / CLASSIFIER / str(versions(SHIPPED)[0]) / "model.onnx").read_bytes()


def changed(file: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a function that changes a file of a version, and its checksum."""
    return lambda folder: rewrite(folder, file, change((folder / file).read_bytes()))


def with_inverted_maps(golden: bytes) -> bytes:
    scenes: list[dict[str, Any]] = json.loads(golden)["scenes"]
    inverted = [
        scene | {name: (255 - np.array(scene[name])).tolist() for name in scene if name != "grey"} for scene in scenes
    ]
    return json.dumps({"scenes": inverted}).encode()


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        pytest.param(lambda folder: (folder / "model.onnx").write_bytes(b""), DamagedArtifact, "sha256", id="checksum"),
        pytest.param(changed("model.onnx", lambda _: b""), DamagedArtifact, "cannot load", id="no graph"),
        pytest.param(changed("model.onnx", lambda _: OTHER), DamagedArtifact, "received .*features", id="signature"),
        pytest.param(changed("golden.json", lambda _: b"{}"), DamagedArtifact, "golden.json", id="no golden maps"),
        pytest.param(changed("golden.json", with_inverted_maps), GoldenMismatch, "golden maps within", id="other maps"),
    ],
)
def test_a_damaged_version_is_refused_by_name(
    damage: Callable[[Path], None],
    error: type[ArtifactError],
    message: str,
    tmp_path: Path,
) -> None:
    version = SHIPPED / NAME / str(shipped_version())
    folder = shutil.copytree(version, tmp_path / version.name)
    damage(folder)

    with pytest.raises(error, match=message) as raised:
        FinderNetwork.load(folder)

    assert str(folder) in str(raised.value)


@pytest.mark.parametrize(("off", "is_refused"), [(0.9, False), (1.1, True)])
def test_golden_maps_may_differ_by_as_much_as_rounding_changes(off: float, is_refused: bool) -> None:
    model = (SHIPPED / NAME / str(shipped_version()) / "model.onnx").read_bytes()
    grey = np.full((16, 16), 200, np.uint8)
    maps = shipped().maps(grey)
    scene = {"grey": grey.tolist(), "heat": (255 * maps.heat).tolist(), "ink": (255 * maps.ink + off).tolist()}

    with pytest.raises(GoldenMismatch) if is_refused else nullcontext():
        FinderNetwork(model, json.dumps({"scenes": [scene]}).encode())


def test_clients_do_not_learn_where_the_shipped_version_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(SHIPPED / NAME / str(shipped_version()), tmp_path / NAME / "1")
    (folder / "model.onnx").write_bytes(b"")
    monkeypatch.setattr("digits.finder.network.SHIPPED", tmp_path)

    with pytest.raises(DamagedArtifact, match=f"^{NAME}/1") as raised:
        shipped.__wrapped__()

    assert str(tmp_path) not in str(raised.value)


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_picture_has_no_centres_and_no_ink(grey: int) -> None:
    maps = shipped().maps(np.full((37, 50), grey, np.uint8))

    assert maps.heat.shape == (2, 24, 32)
    assert maps.classes.shape == (len(CLASSES), 12, 16)
    assert maps.ink.shape == (2, 37, 50)
    assert max(maps.heat.max(), maps.ink.max()) < 0.3


def test_the_ink_alone_is_that_of_the_maps() -> None:
    grey = np.full((70, 90), 200, np.uint8)
    grey[20:60, 40:45] = 30

    ink = shipped().written(grey)

    assert np.array_equal(ink, written(shipped().maps(grey).ink, shipped().decoding.digits_ink))
    assert ink.max() > 0.9
