"""Train the ink network, compare its ONNX graph with Keras, and publish it as the next version of `ink`."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from digits.errors import ArtifactError
from digits.features import Grey
from digits.model import artifact
from digits.model.artifact import Dataset, Manifest, Tensor
from digits.normalization.ink_map import INK_OUTPUT, NAME, InkNetwork
from digits.normalization.map_network import CONTRASTS_INPUT, contrasts
from digits.normalization.parts import Mask, find_parts
from training.backend import keras, library_versions
from training.data.images import LabelledImages
from training.errors import ParityError
from training.fit.epochs import training_state
from training.ink.fit import InkRecipe, fit, validation_scenes
from training.ink.graph import convolutions, serving_graph
from training.terminal import step

_GOLDEN_SIDE, _GOLDEN_SCENES = 64, 4

_MOSTLY, _MIN_STROKE = 0.7, 30
"""What counts as a whole stroke. The edges of its pixels may be missing."""

_CARD = """# The ink network, {name}

It tells how much of each pixel a pen has covered, on any paper and in any light. It has {parameters} parameters.

It was trained on {scenes} scenes of 128x128 pixels, which the program makes: digits written with pens of many widths
on paper with rules, squares, frames, print, shadows and folds, and on wood, cloth and other surfaces. The strokes come
from {digits} of MNIST's training images and from drawn styles. The recipe and the seed ({seed}) determine the scenes.

On {validation} scenes with digits that it was not trained on, the overlap of its ink with the pen's (Dice) is
{overlap:.3f}. In {whole:.3f} of those with ink, each connected stroke of the pen is found in one connected piece.

It marks strokes of any kind, such as letters, and leaves out print. It needs digits of 8 to 120 pixels. Its answers on
real pictures are measured with `python -m benchmarks.quality.pictures` and `python -m benchmarks.quality.numbers`.

The weights are under the project's MIT license. `golden.json` has scenes with strokes of MNIST (LeCun, Cortes, Burges),
which is licensed under CC BY-SA 3.0.
"""


def train(recipe: InkRecipe, data: LabelledImages, *, seed: int, output: Path, resume: bool) -> Manifest:
    """Train the ink network, which writes the strokes of the data's digits, and publish it below `output`.

    The seed determines the initial weights and the scenes. With `resume`, the training continues after the last
    finished epoch.

    Raises:
        TrainingError: nothing to resume, a network that cannot be exported, or Ctrl-C (Interrupted).
        DigitsError: publishing failed.
    """
    with training_state(output / NAME, recipe, seed, data.sha256(), resume=resume) as folder:
        network, history = fit(recipe, data.x_train, seed=seed, folder=folder)
        with step("exporting the network for the service"):
            scenes = validation_scenes(recipe, data.x_train, seed)
            files = _files(network, scenes)
            whole = _whole_share(network, [scene for scene in scenes if scene[1].any()])
        metrics = {column: values[-1] for column, values in history.items()} | {"val_whole": whole}
        card = _CARD.format(
            name=data.name,
            parameters=network.count_params(),
            scenes=recipe.epochs * recipe.scenes,
            digits=recipe.digits,
            seed=seed,
            validation=len(scenes),
            overlap=metrics["val_overlap"],
            whole=whole,
        )
        fields = manifest_fields(recipe, data, seed, (INK_OUTPUT,), metrics)
        return artifact.publish(output, files | {"report/README.md": card.encode()}, fields, name=NAME)


def manifest_fields(
    recipe: Any, data: LabelledImages, seed: int, outputs: tuple[Tensor, ...], metrics: Mapping[str, float]
) -> dict[str, Any]:
    """Return the fields of the manifest of a network that makes maps. The recipe is a dataclass with `digits`."""
    return {
        "inputs": (CONTRASTS_INPUT,),
        "outputs": outputs,
        "recipe": asdict(recipe),
        "seed": seed,
        "dataset": Dataset(
            name=data.name,
            sha256=data.sha256(),
            train_images=recipe.digits,
            validation_images=recipe.digits // 5,
            test_images=0,
        ),
        "libraries": library_versions(),
        "metrics": {
            "train": {name: value for name, value in metrics.items() if not name.startswith("val_")},
            "validation": {name[4:]: value for name, value in metrics.items() if name.startswith("val_")},
        },
    }


def _whole_share(network: Any, scenes: list[tuple[Grey, Grey]]) -> float:
    """Return the share of scenes in which each connected stroke of the pen is found in one connected piece.

    A stroke is found in one piece if that piece has at least _MOSTLY of its pixels. Strokes of fewer than _MIN_STROKE
    pixels do not count.
    """
    logits = network.predict(np.stack([contrasts(grey) for grey, _ in scenes]), batch_size=16, verbose=0)[..., 0]
    return float(np.mean([_is_whole(found > 0, ink > 127) for found, (_, ink) in zip(logits, scenes, strict=True)]))


def _is_whole(found: Mask, ink: Mask) -> bool:
    pieces = find_parts(found.astype(np.float32), 0.5).labels
    strokes = find_parts(ink.astype(np.float32), 0.5)
    return all(
        np.bincount(pieces[strokes.labels == stroke], minlength=2)[1:].max() >= _MOSTLY * strokes.areas[stroke]
        for stroke in np.flatnonzero(strokes.areas >= _MIN_STROKE)[1:]
    )


def _files(network: Any, scenes: list[tuple[Grey, Grey]]) -> dict[str, bytes]:
    """Return model.onnx and golden.json. Raises ParityError if the graph computes something else than Keras does."""
    golden = []
    half = (len(scenes[0][0]) - _GOLDEN_SIDE) // 2
    for scene, _ in scenes[:_GOLDEN_SCENES]:
        grey = scene[half : half + _GOLDEN_SIDE, half : half + _GOLDEN_SIDE]
        logits = network.predict(contrasts(grey)[None], verbose=0)[0, ..., 0]
        ink = 255 * np.asarray(keras().ops.sigmoid(logits))
        golden.append({"grey": grey.tolist(), "ink": np.rint(ink).astype(int).tolist()})
    graph = serving_graph(convolutions(network))
    content = json.dumps({"scenes": golden}).encode() + b"\n"
    try:
        InkNetwork(graph, content)
    except ArtifactError as exc:
        raise ParityError(f"expected ONNX to reproduce the maps of Keras; {exc}; nothing was published") from exc
    return {artifact.MODEL: graph, artifact.GOLDEN: content}
