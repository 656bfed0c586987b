"""Train the finder's next part, compare its ONNX graph with Keras, and publish it as the next version of `finder`."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from digits.errors import ArtifactError
from digits.features import Floats
from digits.finder.network import CONTRASTS_INPUT, NAME, OUTPUTS, FinderNetwork, contrasts
from digits.model import artifact
from digits.model.artifact import MODEL, SHIPPED, Dataset, Manifest, read_version, versions
from digits.model.classifier import Classifier
from training.backend import keras, library_versions
from training.data.images import LabelledImages
from training.errors import ParityError
from training.finder.decoding import fit_decoding
from training.finder.fit import FinderRecipe, fit
from training.finder.graph import convolutions, serving_graph
from training.finder.paper import SIDE
from training.finder.targets import Views
from training.fit.epochs import History, training_state
from training.report.files import history_from_csv, history_to_csv
from training.terminal import step

_GOLDEN_SIDE, _GOLDEN_SCENES = 64, 4

_HISTORY = "report/history.csv"

_START = Path(__file__).with_name("start.onnx")
"""A smaller network that only finds ink. Part 1 begins with its weights."""

_CARD = """# The finder, {name}

It tells where the digits of a picture are, which ink is theirs, and what is written and is no digit, on any paper and
in any light. It has {parameters} parameters.

It was trained in {parts} parts, of which this is the result of part {part}: {views} views of {scenes} scenes of
128x128 pixels, which the program makes. In each part, the learning rate rises and falls once, and `report/history.csv`
has the losses after each epoch of {epoch_views} views. Part 1 begins with a network that only finds ink. A later part
ends with the mean of its network and of the one that it began with, after these losses. The scenes are numbers, single
digits, pages and small cells with separators, letters, signs, rings, boxes, lines below and above in the same pen. The
strokes come from {digits} of MNIST's training images, from drawn styles, and from letters and signs. The recipe and the
seed ({seed}) determine the scenes.

| views | loss on validation scenes |
| ---: | ---: |
{curve}

Each part has scenes of its own, so that their losses are not wholly comparable.

How its maps are decoded stands in the manifest. Of {decoding_scenes} further clear scenes, read with
version {reader} of the shipped model, {right:.3f} are read right, {accepted:.3f} are accepted, and {accepted_wrong:.3f}
are accepted and wrong. The scenes are harder than most pictures.

It needs digits of 8 to 120 pixels. Its answers on real pictures are measured with
`python -m benchmarks.quality.numbers`.

The weights are under the project's MIT license. `golden.json` has scenes with strokes of MNIST (LeCun, Cortes, Burges),
which is licensed under CC BY-SA 3.0.
"""


def train(recipe: FinderRecipe, data: LabelledImages, *, seed: int, output: Path, resume: bool) -> Manifest:
    """Train the next part of the finder, which writes the strokes of the data's digits, and publish it below `output`.

    It continues the newest version below `output` that has the same recipe and seed, or else the shipped one, if a part
    is left. Otherwise it begins with a network that only finds ink. With `resume`, the training continues after the
    last finished epoch.

    Raises:
        TrainingError: nothing to resume, a network that cannot be exported, or Ctrl-C (Interrupted).
        DigitsError: a version cannot be read, or publishing failed.
    """
    recipe, start, earlier = _next_part(recipe, seed, output)
    with training_state(output / NAME, recipe, seed, data.sha256(), resume=resume) as folder:
        network, history, validation, scenes = fit(recipe, data, seed=seed, folder=folder, start=start)
        with step("exporting the network for the service"):
            files = _files(network, validation)
        reader = Classifier.load(SHIPPED / artifact.NAME / str(versions(SHIPPED)[0]))
        decoding, read = fit_decoding(FinderNetwork(files[artifact.MODEL], files[artifact.GOLDEN]), reader, scenes)
        metrics = {column: values[-1] for column, values in history.items()}
        whole = {name: [*earlier.get(name, ()), *values] for name, values in history.items()}
        card = _CARD.format(
            name=data.name,
            parameters=network.count_params(),
            parts=recipe.parts,
            part=recipe.part,
            views=recipe.part * recipe.views,
            scenes=recipe.part * recipe.epochs * recipe.scenes,
            epoch_views=recipe.scenes * recipe.repetitions,
            digits=recipe.digits,
            seed=seed,
            curve=_curve(whole, recipe),
            decoding_scenes=recipe.decoding_scenes,
            reader=reader.manifest.version,
            **read,
        )
        report = {"report/README.md": card.encode(), _HISTORY: history_to_csv(whole)}
        fields = {
            "inputs": (CONTRASTS_INPUT,),
            "outputs": OUTPUTS,
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
            "decoding": asdict(decoding),
            "metrics": {
                "train": {name: value for name, value in metrics.items() if not name.startswith("val_")},
                "validation": {name[4:]: value for name, value in metrics.items() if name.startswith("val_")},
                "decoding": read,
            },
        }
        return artifact.publish(output, files | report, fields, name=NAME)


def _next_part(recipe: FinderRecipe, seed: int, output: Path) -> tuple[FinderRecipe, bytes, History]:
    """Return the recipe of the next part, the serving graph that it begins with, and the history before."""
    for root in (output, SHIPPED):
        for version in versions(root, NAME)[:1]:
            folder = root / NAME / str(version)
            manifest, files = read_version(folder)
            trained = manifest.recipe or {}
            done = trained.get("part", recipe.parts)
            earlier = replace(recipe, part=done, parts=trained.get("parts", recipe.parts))  # parts may be added
            if done < recipe.parts and (manifest.recipe, manifest.seed) == (asdict(earlier), seed):
                return replace(recipe, part=done + 1), files[MODEL], history_from_csv((folder / _HISTORY).read_bytes())
    return replace(recipe, part=1), _START.read_bytes(), {}


def _curve(history: History, recipe: FinderRecipe) -> str:
    """Return the rows of a table: the loss after a third of part 1, and after each part."""
    losses = history["val_loss"]
    epochs = [max(1, recipe.epochs // 3), *range(recipe.epochs, len(losses) + 1, recipe.epochs)]
    views = recipe.scenes * recipe.repetitions
    return "\n".join(f"| {epoch * views} | {losses[epoch - 1]:.3f} |" for epoch in epochs)


def _files(network: Any, views: Views) -> dict[str, bytes]:
    """Return model.onnx and golden.json. Raises ParityError if the graph computes something else than Keras does."""
    golden = []
    middle = slice((SIDE - _GOLDEN_SIDE) // 2, (SIDE + _GOLDEN_SIDE) // 2)
    for grey in views.grey[:_GOLDEN_SCENES, middle, middle]:
        half, _, ink = network.predict(contrasts(grey)[None], verbose=0)
        golden.append({"grey": grey.tolist(), "heat": _map(half[0, ..., :2]), "ink": _map(ink[0])})
    graph = serving_graph(convolutions(network))
    content = json.dumps({"scenes": golden}).encode() + b"\n"
    try:
        FinderNetwork(graph, content)
    except ArtifactError as exc:
        raise ParityError(f"expected ONNX to reproduce the maps of Keras; {exc}; nothing was published") from exc
    return {artifact.MODEL: graph, artifact.GOLDEN: content}


def _map(logits: Floats) -> list[Any]:
    """Return logits (height, width, channels) as probabilities in whole numbers from 0 to 255, channels first."""
    probabilities = 255 * np.asarray(keras().ops.sigmoid(logits)).transpose(2, 0, 1)
    numbers: list[Any] = np.rint(probabilities).astype(int).tolist()
    return numbers
