"""Keras on TensorFlow: imported when first needed, without its noise, and reproducible."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from platform import python_version
from typing import Any

QUIET = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # oneDNN's kernels differ between processors and announce themselves on the terminal.
    "TF_ENABLE_ONEDNN_OPTS": "0",
}


def keras() -> Any:
    """The module `keras`; its first import takes about ten seconds."""
    os.environ.update(QUIET)
    with warnings.catch_warnings(), _silent_stderr():
        warnings.simplefilter("ignore")  # other people's deprecations, of no use to who trains
        import keras as module

    return module


def choose_fast_convolutions() -> None:
    """Ask for oneDNN, before anything imports Keras: it trains a convolutional network three times as fast."""
    QUIET["TF_ENABLE_ONEDNN_OPTS"] = "1"


def make_reproducible(seed: int) -> None:
    """Same seed, same machine, same weights: seed every generator and choose deterministic kernels."""
    keras().utils.set_random_seed(seed)
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """TensorFlow's libraries write to the descriptor before they know of a log level."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def library_versions() -> dict[str, str]:
    """What a manifest says about where its network was made."""
    import tensorflow

    names = ("keras", "onnx", "tf2onnx", "onnxruntime", "numpy")
    return {
        "python": python_version(),
        "tensorflow": tensorflow.__version__,  # the distribution's name depends on the platform
        **{name: version(name) for name in names},
    }
