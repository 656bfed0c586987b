"""A version of a network that makes maps is checked before it is used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from digits.errors import ArtifactError, DamagedArtifact, GoldenMismatch
from digits.finder.network import FinderNetwork
from digits.model.artifact import NAME as CLASSIFIER
from digits.model.artifact import SHIPPED, versions
from digits.normalization.ink_map import InkNetwork
from digits.normalization.map_network import MapNetwork
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


@pytest.mark.parametrize("network", [InkNetwork, FinderNetwork])
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
    network: type[MapNetwork],
    damage: Callable[[Path], None],
    error: type[ArtifactError],
    message: str,
    tmp_path: Path,
) -> None:
    version = SHIPPED / network.NAME / str(network.shipped_version())
    folder = shutil.copytree(version, tmp_path / version.name)
    damage(folder)

    with pytest.raises(error, match=message) as raised:
        network.load(folder)

    assert str(folder) in str(raised.value)
