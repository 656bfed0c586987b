"""Train the lecture's network as `digits train --recipe lecture` does, and keep what the page shows of its training.

python -m docs.lecture_network          # with MNIST_DATA, as for `digits train`: half a minute

"Look inside" loads the files one by one, so they are small: the hidden layer's weights are int8 with a scale for each
unit, the rest is float16. The header has the number of the step, and the accuracy of these rounded weights on MNIST's
test images.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from safetensors.numpy import save

from digits.features import Floats, to_features
from training.backend import keras
from training.data.images import LabelledImages, load, split_training_images
from training.fit import epochs as fit
from training.network.recipes import RECIPES

FOLDER = Path(__file__).resolve().parent.parent / "app/pages/static"
FIRST_STEPS = (0, 3, 10, 50, 150)
EPOCHS = (1, 2, 5)
"""The weights are kept before the first step, after a few steps, and after these epochs."""

Weights = list[Floats]
"""Kernel and bias of the hidden layer, then of the output layer."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The network at one moment of its training."""

    step: int
    epoch: float
    weights: Weights


def snapshots(data: LabelledImages) -> list[Snapshot]:
    """Train the network and return the moments that are kept, in their order."""
    recipe = RECIPES["lecture"]
    split = split_training_images(data, validation_split=recipe.validation_split)
    steps_per_epoch = -(-len(split.y_train) // recipe.batch_size)
    kept = {*FIRST_STEPS, *(epoch * steps_per_epoch for epoch in EPOCHS)}
    weights: dict[int, Weights] = {}
    steps = count()

    def keep(batch: int, logs: object) -> None:  # noqa: ARG001 - Keras names both
        step = next(steps)
        if step in kept:
            weights[step] = callback.model.get_weights()

    callback = keras().callbacks.LambdaCallback(on_train_batch_begin=keep)
    with TemporaryDirectory() as folder:
        network, _ = fit.fit(recipe, split, seed=0, folder=Path(folder), callbacks=[callback])
    weights[next(steps)] = network.get_weights()
    return [Snapshot(step, step / steps_per_epoch, each) for step, each in weights.items()]


def quantized(weights: Weights) -> dict[str, np.ndarray]:
    """Return the tensors of a file."""
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
    """Train, and replace the files one by one."""
    data = load(os.environ.get("MNIST_DATA"))
    for index, snapshot in enumerate(snapshots(data)):
        tensors = quantized(snapshot.weights)
        accuracy = (logits(tensors, to_features(data.x_test)).argmax(axis=1) == data.y_test).mean()
        file = FOLDER / f"lecture-{index}.safetensors"
        part = file.with_suffix(".part")
        moment = {"step": f"{snapshot.step}", "epoch": f"{snapshot.epoch:g}", "test_accuracy": f"{accuracy:.4f}"}
        part.write_bytes(save(tensors, moment))
        part.replace(file)
        print(f"{file.name}: after {snapshot.step} steps, test accuracy {accuracy:.4f}, {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
