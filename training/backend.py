"""Import Keras with TensorFlow late and silently, and make it reproducible."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from platform import python_version
from typing import Any

KERAS_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # oneDNN computes differently on each processor and prints a message.
    "TF_ENABLE_ONEDNN_OPTS": "0",
}
"""Environment variables that are set before Keras is imported."""


def keras() -> Any:
    """Return the module `keras`. Its first import takes about ten seconds."""
    os.environ.update(KERAS_ENVIRONMENT)
    with warnings.catch_warnings(), _silent_stderr():
        warnings.simplefilter("ignore")  # deprecations in other packages
        import keras as module

    return module


def choose_fast_convolutions() -> None:
    """Turn on oneDNN, which trains a convolutional network three times as fast. Call it before Keras is imported."""
    KERAS_ENVIRONMENT["TF_ENABLE_ONEDNN_OPTS"] = "1"


def make_reproducible(seed: int) -> None:
    """Seed every generator and use deterministic kernels, so that a seed always gives the same weights on a machine."""
    keras().utils.set_random_seed(seed)
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Discard stderr. TensorFlow's libraries write to its descriptor before they read their log level."""
    original = os.dup(2)
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(devnull)


def library_versions() -> dict[str, str]:
    """Return the versions of Python and the libraries, for the manifest."""
    import tensorflow

    names = ("keras", "onnx", "tf2onnx", "onnxruntime", "numpy")
    return {
        "python": python_version(),
        "tensorflow": tensorflow.__version__,  # the distribution's name depends on the platform
        **{name: version(name) for name in names},
    }
