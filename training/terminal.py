"""What the commands print: steps, tables and results."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from digits.features import Grey
from digits.model.artifact import SHIPPED, LearnedCorrections, Manifest
from digits.model.classes import DIGITS
from digits.model.discovery import candidates
from digits.normalization.parts import extent
from digits.percent import percent
from training.assess.assessment import Assessment
from training.data.images import ARRAYS, OWN, LabelledImages, kind_of
from training.progress import progress
from training.report import words
from training.trust.evaluation import Trust

_MAX_COLUMNS = 12
"""Number of classes above which the confusion matrix is too wide for a terminal. The report has a picture of it."""


def _table(first: str, *others: str, title: str) -> Table:
    """Return a table of numbers, which are right-aligned below each other."""
    table = Table(first, title=title)
    for name in others:
        table.add_column(name, justify="right")
    return table


def say(line: str) -> None:
    """Print a line and flush, so that it also appears immediately in a pipe."""
    print(line, flush=True)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print the name of a step that takes time, and show how long it has run."""
    say(what)
    with progress(what):
        yield


def show_data(data: LabelledImages) -> None:
    """Print shapes, value ranges, the number of images per class and the first training image."""
    for name in ARRAYS:
        array = getattr(data, name)
        say(f"{name:<8} {array.dtype} {array.shape!s:<16} values {array.min()} to {array.max()}")
    kind = kind_of(data.classes)
    table = _table(kind, "train", "test", title=f"images of each {kind}")
    for index, name in enumerate(data.classes):
        table.add_row(escape(name), *map(str, ((data.y_train == index).sum(), (data.y_test == index).sum())))
    Console().print(table)
    image = data.x_train[0]
    say(f"the first training image, a {data.classes[data.y_train[0]]}:")
    say(as_numbers(image))
    say(as_shades(image))


def as_numbers(image: Grey) -> str:
    """Return an image as the lecture prints it, without its empty margins: MNIST's digits then fit 80 columns."""
    if not image.any():
        return "0"
    return "\n".join(" ".join(f"{value:3d}" for value in row) for row in image[extent(image > 0)])


def as_shades(image: Grey) -> str:
    """Return an image in characters, denser where there is more ink.

    A pixel takes two characters, because a character is twice as high as it is wide.
    """
    ramp = " .:-=+*#%@"
    return "\n".join("".join(ramp[int(value) * len(ramp) // 256] * 2 for value in row).rstrip() for row in image)


def show_assessment(assessment: Assessment, data: LabelledImages) -> None:
    """Print loss, accuracy, the scores per class, the confusion matrix and the most confident mistakes."""
    say(f"loss {assessment.loss:.4f}, accuracy {assessment.in_words()}")
    console = Console()
    kind, names = kind_of(data.classes), [escape(name) for name in data.classes]
    table = _table(kind, "precision", "recall", "F1", "images", title=f"by {kind}")
    for row in assessment.by_class(names):
        table.add_row(*row)
    console.print(table)
    if len(names) <= _MAX_COLUMNS:
        table = _table("true", *names, title=f"predicted {kind}")
        for name, counts in zip(names, assessment.confusion, strict=True):
            table.add_row(name, *(str(count) if count else "[dim]0[/dim]" for count in counts))
        console.print(table)
    if not len(assessment.mistakes):
        say(f"none of {data.tested} was mistaken")
        return
    table = _table(
        "picture" if data.name == OWN else "test image",
        "true",
        "predicted",
        "probability",
        title="most confident mistakes",
    )
    for index in assessment.mistakes[:10]:
        true, predicted = names[data.y_test[index]], names[assessment.predicted[index]]
        table.add_row(str(index), true, predicted, percent(assessment.confidence[index]))
    console.print(table)


def show_trust(trust: Trust, data: LabelledImages) -> None:
    """Print how often prediction sets contain the true answer, and how many pictures of other things are noticed."""
    console = Console()
    columns = (data.tested.removeprefix("the "), "promised", "measured", "chance explains", "mean size", "empty")
    table = _table(*columns, title="prediction sets that contain the true answer")
    for pictures, rows in (("as they are", trust.coverage), ("distorted", trust.normalized_coverage)):
        for row in rows:
            if row.band is not None:
                band = "{:.4f} to {:.4f}".format(*row.band)
                measured = (f"{row.covered:.4f}", band, f"{row.size:.3f}", f"{row.empty:.4f}")
                table.add_row(pictures, f"{row.level:g}", *measured)
    if table.rows:
        console.print(table)
    else:
        say("there were too few calibration images for prediction sets")
    if trust.detection:
        kind = "a digit" if data.classes == DIGITS else "one of the classes"
        table = _table("pictures", f"reported as not {kind}", title=f"pictures that do not show {kind}")
        for kind, detection in trust.detection.items():
            table.add_row(kind, f"{detection.above_1:.4f}")
        console.print(table)


def show_accepted(manifest: Manifest, trust: Trust | None) -> None:
    """Print how many answers need no check, why there are none, and what is accepted by mistake."""
    say(words.accepted(manifest, trust))
    if trust is not None and trust.accepted is not None and manifest.classes != DIGITS:
        say(words.mistaken(manifest, trust))


def show_learned(learned: LearnedCorrections) -> None:
    """Print how often corrections that were held back are misread, before and after learning from the others."""
    digits, before, after = sum(learned.digits), sum(learned.before), sum(learned.after)
    say(
        f"{digits} corrected digits of {learned.pictures} pictures, held back in turn: version {learned.version} "
        f"misreads {before}, after learning from the others {after}"
    )


def show_published(manifest: Manifest, root: Path, assessment: Assessment | None) -> None:
    """Print where the version is, its accuracy, the command that serves it, and which folders are no versions."""
    for reason in candidates(root, is_named=False).misnumbered:
        print(f"digits: not used: {reason}", file=sys.stderr)
    say(f"published: {root / manifest.name / str(manifest.version)}")
    if assessment:
        say(f"test accuracy: {assessment.in_words()}; {assessment.beside_chance()}")
    setting = "" if root.resolve() == SHIPPED else f"MNIST_MODEL_DIR={shlex.quote(str(root))} "
    if (SHIPPED.parent / "Makefile").exists():
        say(f"serve it: {setting}make serve")
    elif shutil.which("digits"):
        say(f"serve it: {setting}digits serve")
    else:  # in the image for training, which cannot serve
        say("a service that uses this folder serves it within seconds")
