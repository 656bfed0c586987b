"""Keras on TensorFlow: imported when first needed, without its noise, and reproducible."""

import os
import warnings
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations, of no use to who trains
        import keras as module

    return module


def make_reproducible(seed: int) -> None:
    """Same seed, same machine, same weights: seed every generator and choose deterministic kernels."""
    keras().utils.set_random_seed(seed)
    import tensorflow

    tensorflow.config.experimental.enable_op_determinism()


def library_versions() -> dict[str, str]:
    """What a manifest says about where its network was made."""
    import tensorflow

    names = ("keras", "onnx", "tf2onnx", "onnxruntime", "numpy")
    return {
        "python": python_version(),
        "tensorflow": tensorflow.__version__,  # the distribution's name depends on the platform
        **{name: version(name) for name in names},
    }
