"""Train the lecture's network as `digits train --recipe lecture` does. "Look inside" shows it beside the served one.

python -m docs.lecture_network          # with MNIST_DATA, as for `digits train`: half a minute

The file is small: the hidden layer's weights are int8 with a scale for each unit, the rest is float16. Its header has
the accuracy of these rounded weights on MNIST's test images.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import save

from digits.features import Floats, to_features
from training.data.images import load, split_training_images
from training.fit import epochs as fit
from training.network.recipes import RECIPES

FILE = Path(__file__).resolve().parent.parent / "app/pages/static/lecture.safetensors"

Weights = list[Floats]
"""Kernel and bias of the hidden layer, then of the output layer."""


def quantized(weights: Weights) -> dict[str, np.ndarray]:
    """Return the tensors of the file."""
    kernel, bias, output_kernel, output_bias = weights
    scale = (np.abs(kernel).max(axis=0) / 127).astype(np.float16)
    return {
        "hidden.kernel": np.clip(np.round(kernel / scale.astype(np.float32)), -127, 127).astype(np.int8),
        "hidden.scale": scale,
        "hidden.bias": bias.astype(np.float16),
        "probabilities.kernel": output_kernel.astype(np.float16),
        "probabilities.bias": output_bias.astype(np.float16),
    }


def logits(tensors: Mapping[str, np.ndarray], features: Floats) -> Floats:
    """Return what the page computes, float32 (N, 10)."""
    kernel, scale, bias, output_kernel, output_bias = (values.astype(np.float32) for values in tensors.values())
    hidden = np.maximum(features @ (kernel * scale) + bias, 0)
    result: Floats = hidden @ output_kernel + output_bias
    return result


def main() -> None:
    """Train, and replace the file."""
    data = load(os.environ.get("MNIST_DATA"))
    recipe = RECIPES["lecture"]
    split = split_training_images(data, validation_split=recipe.validation_split)
    with TemporaryDirectory() as folder:
        network, _ = fit.fit(recipe, split, seed=0, folder=Path(folder))
    tensors = quantized(network.get_weights())
    accuracy = (logits(tensors, to_features(data.x_test)).argmax(axis=1) == data.y_test).mean()
    FILE.write_bytes(save(tensors, {"test_accuracy": f"{accuracy:.4f}"}))
    print(f"{FILE.name}: test accuracy {accuracy:.4f}, {FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
