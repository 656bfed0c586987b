"""A version of the ink network is checked before it is used, and finds the pen's ink on any paper."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from digits.errors import ArtifactError, DamagedArtifact, GoldenMismatch
from digits.model.artifact import NAME as CLASSIFIER
from digits.model.artifact import SHIPPED, versions
from digits.normalization.ink_map import NAME, InkNetwork, contrasts, shipped
from tests.conftest import rewrite

OTHER = (SHIPPED / CLASSIFIER / str(versions(SHIPPED)[0]) / "model.onnx").read_bytes()
VERSION = SHIPPED / NAME / str(versions(SHIPPED, NAME)[0])


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_picture_has_no_contrast_and_no_ink(grey: int) -> None:
    blank = np.full((37, 50), grey, np.uint8)

    assert not contrasts(blank).any()
    assert shipped().coverage(blank).max() < 0.1


def test_a_stroke_on_ruled_paper_is_ink_and_the_rules_are_not() -> None:
    paper = np.full((128, 128), 200, np.uint8)
    paper[10::16] = 150
    paper[30:100, 60:66] = 60

    ink = shipped().coverage(paper)

    assert ink[40:90, 62:64].min() > 0.5
    assert np.delete(ink, np.s_[50:76], axis=1).max() < 0.5


@pytest.mark.parametrize("left", [84, 92])
def test_a_straight_stroke_as_high_as_a_digit_is_ink_from_end_to_end(left: int) -> None:
    paper = np.full((128, 128), 200, np.uint8)
    paper[10::16] = 170
    cv2.ellipse(paper, (45, 64), (18, 34), 0, 0, 360, 60, 4)
    paper[30:98, left : left + 3] = 60

    ink = shipped().coverage(cv2.GaussianBlur(paper, (0, 0), 0.7))

    assert ink[36:92, left : left + 3].max(axis=1).min() > 0.5
    assert np.delete(ink, np.s_[20 : left + 8], axis=1).max() < 0.5


def changed(file: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Return a function that changes a file of a version, and its checksum."""
    return lambda folder: rewrite(folder, file, change((folder / file).read_bytes()))


def with_inverted_maps(golden: bytes) -> bytes:
    scenes: list[dict[str, Any]] = json.loads(golden)["scenes"]
    inverted = [scene | {"ink": (255 - np.array(scene["ink"])).tolist()} for scene in scenes]
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
    damage: Callable[[Path], None], error: type[ArtifactError], message: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(VERSION, tmp_path / VERSION.name)
    damage(folder)

    with pytest.raises(error, match=message) as raised:
        InkNetwork.load(folder)

    assert str(folder) in str(raised.value)
