"""What the commands print: progress, tables and results."""

import shlex
from pathlib import Path

from rich.console import Console
from rich.table import Table

from digits.artifact import SHIPPED, Manifest
from digits.features import CLASSES, Grey
from training.assess import Assessment
from training.data import ARRAYS, Mnist
from training.trust.evaluation import Trust


def say(line: str) -> None:
    """Print a line and flush, so that it also appears immediately in a pipe."""
    print(line, flush=True)


def show_data(data: Mnist) -> None:
    """Print shapes, value ranges, the number of images per digit and the first training image."""
    for name in ARRAYS:
        array = getattr(data, name)
        say(f"{name:<8} {array.dtype} {array.shape!s:<16} values {array.min()} to {array.max()}")
    table = Table("digit", "train", "test", title="images of each digit")
    for digit in range(CLASSES):
        table.add_row(*map(str, (digit, (data.y_train == digit).sum(), (data.y_test == digit).sum())))
    Console().print(table)
    image = data.x_train[0]
    say(f"the first training image, a {data.y_train[0]}:")
    say(as_numbers(image))
    say(as_shades(image))


def as_numbers(image: Grey) -> str:
    """Return an image as the lecture prints it: 28 rows of 28 numbers."""
    return "\n".join(" ".join(f"{value:3d}" for value in row) for row in image)


def as_shades(image: Grey) -> str:
    """Return an image in characters, denser where there is more ink.

    A pixel takes two characters, because a character is twice as high as it is wide.
    """
    ramp = " .:-=+*#%@"
    return "\n".join("".join(ramp[int(value) * len(ramp) // 256] * 2 for value in row).rstrip() for row in image)


def show_assessment(assessment: Assessment, data: Mnist) -> None:
    """Print loss, accuracy, the scores per digit, the confusion matrix and the most confident mistakes."""
    say(f"loss {assessment.loss:.4f}, accuracy {assessment.in_words()}")
    console = Console()
    table = Table("digit", "precision", "recall", "F1", "images", title="by digit")
    for digit in range(CLASSES):
        scores = (f"{assessment.per_class[name][digit]:.4f}" for name in ("precision", "recall", "f1"))
        table.add_row(str(digit), *scores, str(assessment.per_class["images"][digit]))
    console.print(table)
    table = Table("true", *map(str, range(CLASSES)), title="predicted digit")
    for digit, row in enumerate(assessment.confusion):
        table.add_row(str(digit), *map(str, row))
    console.print(table)
    table = Table("test image", "true", "predicted", "probability", title="most confident mistakes")
    for index in assessment.mistakes[:10]:
        true, predicted = data.y_test[index], assessment.predicted[index]
        table.add_row(str(index), str(true), str(predicted), f"{assessment.confidence[index]:.4f}")
    console.print(table)


def show_trust(trust: Trust) -> None:
    """Print the measured coverage of the prediction sets, and how well novelty detects non-digits."""
    console = Console()
    table = Table("pictures", "coverage", "measured", "band", "mean size", "empty", title="prediction sets")
    for pictures, rows in (("test images", trust.coverage), ("copies", trust.normalized_coverage)):
        for row in rows:
            if row.band is not None:
                band = "{:.4f} to {:.4f}".format(*row.band)
                measured = (f"{row.covered:.4f}", band, f"{row.size:.3f}", f"{row.empty:.4f}")
                table.add_row(pictures, f"{row.level:g}", *measured)
    console.print(table)
    if trust.detection:
        table = Table("pictures", "AUROC", "FPR at 95 % TPR", "reported as not a digit", title="non-digits")
        for kind, detection in trust.detection.items():
            table.add_row(kind, f"{detection.auroc:.4f}", f"{detection.fpr95:.4f}", f"{detection.above_1:.4f}")
        console.print(table)


def show_published(manifest: Manifest, root: Path, assessment: Assessment | None) -> None:
    """Print where the version is, its accuracy and the command that serves it."""
    say(f"published: {root / manifest.name / str(manifest.version)}")
    if assessment:
        say(f"test accuracy: {assessment.in_words()}")
    setting = "" if root.resolve() == SHIPPED else f"MNIST_MODEL_DIR={shlex.quote(str(root))} "
    is_checkout = (SHIPPED.parent / "Makefile").exists()
    say(f"serve it: {setting}{'make serve' if is_checkout else 'digits serve'}")
