"""Draw the report's figures as PNG files."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from digits.features import Grey
from digits.model.classes import DIGITS
from training.assess.assessment import Assessment
from training.data.corrections import Corrections
from training.data.images import LabelledImages, kind_of
from training.trust.evaluation import Trust
from training.trust.reliability import BINS

_ACCENT, _CONTRAST = "#0f6b66", "#b84f00"
"""The colours of the service's pages. Colour-blind people can tell them apart."""

_ROWS, _COLUMNS = 4, 10

_MAX_COUNTS = 20
"""Number of classes above which the confusion matrix shows colours only."""

_SHOWN_CHARACTERS = 10
"""Number of characters of a class's name above a picture."""


def samples(data: LabelledImages) -> bytes:
    """Draw training images with their labels, as many of each class. Ten classes have one column each."""
    rows = max(1, _ROWS * _COLUMNS // len(data.classes))
    of_class = [np.flatnonzero(data.y_train == index)[:rows] for index in range(len(data.classes))]
    chosen = [images[row] for row in range(rows) for images in of_class if row < len(images)]
    return _grid(data.x_train[chosen], [_short(data.classes[label]) for label in data.y_train[chosen]])


def mistakes(assessment: Assessment, data: LabelledImages) -> bytes:
    """Draw the most confident mistakes: true class, predicted class and its probability. There is at least one."""
    chosen = assessment.mistakes[: _ROWS * _COLUMNS]
    names = [_short(name) for name in data.classes]
    titles = [
        f"{names[data.y_test[index]]} → {names[assessment.predicted[index]]} {assessment.confidence[index]:.0%}"
        for index in chosen
    ]
    return _grid(data.x_test[chosen], titles)


def picture(image: Grey) -> bytes:
    """Return one image, (28, 28), as a PNG file with the same grey values, which the service can read."""
    content = BytesIO()
    Image.fromarray(image).save(content, format="png", optimize=True)
    return content.getvalue()


def corrections(shown: Corrections) -> bytes:
    """Draw corrected digits with their labels."""
    return _grid(shown.pixels[: _ROWS * _COLUMNS], [str(label) for label in shown.labels[: _ROWS * _COLUMNS]])


def curves(history: Mapping[str, Sequence[float]]) -> bytes:
    """Draw loss and accuracy by epoch, for training and validation images."""
    figure = _figure(9, 3.6)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for column, label, style, colour in (
            (name, "training", "o-", _ACCENT),
            (f"val_{name}", "validation", "s--", _CONTRAST),
        ):
            if column in history:
                epochs = len(history[column])
                every = -(-epochs // 20)
                axes.plot(range(1, epochs + 1), history[column], style, color=colour, markevery=every, label=label)
        axes.set(title=name, xlabel="epoch", xlim=(0.5, len(history[name]) + 0.5))
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(alpha=0.3)
        axes.legend()
    return _png(figure)


def confusion(assessment: Assessment, classes: Sequence[str]) -> bytes:
    """Draw the confusion matrix of the test images."""
    from matplotlib.colors import LinearSegmentedColormap

    kind = kind_of(classes)
    figure = _figure(6, 5.6)
    axes = figure.subplots()
    counts = assessment.confusion
    # The colour scale ends just above the largest mistake. On the diagonal's scale no mistake would be visible.
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    darkest = max(1.5 * shares[~np.eye(len(classes), dtype=bool)].max(), 1e-3)
    axes.imshow(shares, cmap=LinearSegmentedColormap.from_list("page", ["white", _ACCENT]), vmax=darkest)
    for row, column in np.ndindex(counts.shape):
        if counts[row, column] and len(classes) <= _MAX_COUNTS:
            colour = "white" if shares[row, column] > 0.6 * darkest else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    axes.set(title="confusion matrix, test set", xlabel=f"predicted {kind}", ylabel=f"true {kind}")
    if len(classes) <= _MAX_COUNTS:
        names = [_short(name) for name in classes]
        axes.set_xticks(range(len(classes)), names, rotation=0 if classes == DIGITS else 90)
        axes.set_yticks(range(len(classes)), names)
    return _png(figure)


def reliability_diagrams(trust: Trust) -> bytes:
    """Draw the reliability before and after temperature scaling, above histograms of the confidence."""
    figure = _figure(9, 4.4)
    axes = figure.subplots(2, 2, sharex=True, height_ratios=(3, 1))
    width = 1 / BINS
    left = np.arange(BINS) * width
    diagrams = (("as trained", trust.before), ("temperature scaled", trust.after))
    for (upper, lower), (title, reliability) in zip(axes.T, diagrams, strict=True):
        upper.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
        upper.bar(left, np.nan_to_num(reliability.accuracy), width, align="edge", color=_ACCENT, edgecolor="white")
        upper.plot(reliability.confidence, reliability.accuracy, "o", color="black", markersize=3)
        upper.set(title=f"{title}: ECE {reliability.ece:.4f}", ylabel="accuracy", ylim=(0, 1))
        lower.bar(left, reliability.images, width, align="edge", color=_ACCENT, edgecolor="white")
        lower.set(xlabel="confidence", ylabel="images", yscale="log", xlim=(0, 1))
    return _png(figure)


def strangers(trust: Trust) -> bytes:
    """Show accepted pictures without a digit, at most a row of each kind."""
    shown = {kind: each for kind, each in trust.detection.items() if len(each.pixels)}
    images = np.concatenate([each.pixels[:_COLUMNS] for each in shown.values()])
    digits = np.concatenate([each.digits[:_COLUMNS] for each in shown.values()])
    return _grid(images, [f"as {digit}" for digit in digits.tolist()])


def _grid(images: Grey, titles: Sequence[str]) -> bytes:
    # All pictures share one plot, in inches. The layout of forty plots takes ten times as long.
    side, height = 0.9, 1.05 + 0.15 * max(title.count("\n") for title in titles)
    rows = -(-len(images) // _COLUMNS)
    figure = _figure(side * _COLUMNS, height * rows)
    axes = figure.subplots()
    axes.axis("off")
    axes.set(xlim=(0, side * _COLUMNS), ylim=(height * rows, 0))
    for index, (image, title) in enumerate(zip(images, titles, strict=True)):
        left, bottom = side * (index % _COLUMNS), height * (index // _COLUMNS + 1)
        extent = (left + 0.05, left + side - 0.05, bottom, bottom - side + 0.1)
        axes.imshow(image, cmap="gray_r", vmin=0, vmax=255, extent=extent)
        axes.text(left + side / 2, bottom - side + 0.07, title, fontsize=8, ha="center", va="bottom", parse_math=False)
    return _png(figure)


def _short(name: str) -> str:
    return name if len(name) <= _SHOWN_CHARACTERS else f"{name[: _SHOWN_CHARACTERS - 1]}…"


def _figure(width: float, height: float) -> Any:
    # Matplotlib's object interface needs no display and keeps no global state, unlike pyplot.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Any) -> bytes:
    drawn, small = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=80)
    # A palette of 64 colours makes the file a third of its size, and is enough for greys and two curves.
    Image.open(drawn).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return small.getvalue()
