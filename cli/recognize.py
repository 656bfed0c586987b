"""`digits predict` and `digits read`: print a line for each picture that the user named, or write rows to a file."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import orjson
import typer

from cli.batch.expected import ExpectedAnswers, UnusableAnswers
from cli.batch.tasks import Predict, Read, Task
from cli.batch.worker import records
from cli.models import ModelDir, ModelVersion, load_model
from cli.printable import say
from cli.request import (
    AsJson,
    Column,
    Force,
    Output,
    RayAddress,
    Request,
    Resume,
    SourceNames,
    Strict,
)
from cli.sources.listing import NamedPicture, Sources
from cli.sources.tables import UnusableSource
from digits.errors import DigitsError, ImageTooLarge, InvalidImage, OtherClasses
from digits.finder.read import Marks
from digits.model.classifier import Classifier
from digits.model.predictions import to_json
from digits.normalization.mnist_form import Mode
from digits.pictures import decode_limits

app = typer.Typer()

_STDIN = "-"


@app.command()
def predict(  # noqa: PLR0917 - Typer turns parameters into options
    sources: SourceNames,
    as_json: AsJson = False,
    column: Column = None,
    output: Output = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="With --output, also write the probability of every class.")
    ] = False,
    ray: RayAddress = None,
    resume: Resume = False,
    force: Force = False,
    strict: Strict = False,
    normalize: Annotated[
        Mode,
        typer.Option(
            metavar="auto|always|never",
            help="Which pictures to bring to MNIST form: those that are not in it (auto), all (always), or none "
            "(never). With never, pictures must be 28x28.",
        ),
    ] = "auto",
    coverage: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="The coverage of the prediction sets, which `accept` follows, such as 0.95. Default: the model's own.",
        ),
    ] = None,
    model_dir: ModelDir = None,
    model_version: ModelVersion = None,
) -> None:
    """Recognize one digit per picture. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    request = Request(
        sources=sources,
        as_json=as_json,
        column=column,
        output=output,
        ray=ray,
        resume=resume,
        force=force,
        strict=strict,
        model_dir=model_dir,
        model_version=model_version,
    )
    raise typer.Exit(_answer(request, Predict(normalize, probabilities, coverage)))


@app.command()
def read(  # noqa: PLR0917 - Typer turns parameters into options
    sources: SourceNames,
    as_json: AsJson = False,
    column: Column = None,
    output: Output = None,
    ray: RayAddress = None,
    resume: Resume = False,
    force: Force = False,
    strict: Strict = False,
    marks: Annotated[
        Marks,
        typer.Option(
            metavar="count|ignore",
            help="Whether each mark beside the digits stops a number from being accepted (count), or points, commas, "
            "colons, dashes and slashes between digits do not (ignore), as in phone numbers, amounts and dates.",
        ),
    ] = "count",
    expected: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|FILE",
            help="With --output, grade each row as right, wrong, or open if a person should check it. One number for "
            "all pictures, or a CSV file: its first column names pictures, and its column `expected`, or else the "
            "second, has their numbers.",
        ),
    ] = None,
    model_dir: ModelDir = None,
    model_version: ModelVersion = None,
) -> None:
    """Read all digits on each picture. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    request = Request(
        sources=sources,
        as_json=as_json,
        column=column,
        output=output,
        ray=ray,
        resume=resume,
        force=force,
        strict=strict,
        model_dir=model_dir,
        model_version=model_version,
    )
    if expected is not None and output is None:
        raise typer.BadParameter("expected --expected together with --output")
    try:
        answers = None if expected is None else ExpectedAnswers.read(expected)
    except (UnusableAnswers, OSError, UnicodeDecodeError) as exc:
        raise typer.BadParameter(f"expected a number, or a CSV file of pictures and numbers: {exc}") from None
    raise typer.Exit(_answer(request, Read(marks, answers)))


def _answer(request: Request, task: Task) -> int:
    """Print or write the answers, and return the exit code.

    Raises BadParameter if the options do not fit together, and SystemExit in one line if the model cannot do the task.
    """
    if request.output is None:
        if request.resume or request.force or request.strict or request.ray is not None:
            raise typer.BadParameter("expected --resume, --force, --strict and --ray together with --output")
    elif request.as_json or _STDIN in request.sources or (request.resume and request.force):
        raise typer.BadParameter("expected --output without --json and -, and only one of --resume and --force")
    classifier = load_model(request.model_dir, request.model_version)
    try:
        task.columns(classifier)
    except OtherClasses as exc:
        raise SystemExit(f"digits: {exc}") from None
    except ValueError as exc:
        raise typer.BadParameter(f"--coverage: {exc}") from None
    if request.output is None:
        return _print_answers(request, classifier, task)
    from cli.batch.run import run  # noqa: PLC0415 - a single picture needs no processes

    return run(request, request.output, classifier, task)


def _print_answers(request: Request, classifier: Classifier, task: Task) -> int:
    exit_code = 0
    has_answer = False
    for source in request.sources:
        try:
            for picture in _pictures(source, request.column):
                (record,) = records(classifier, task, [picture], Path())
                if request.as_json:
                    # A path may have bytes that are not UTF-8. orjson refuses them, and `json` escapes them.
                    path = json.dumps(picture.content if isinstance(picture.content, str) else picture.name)
                    print(to_json({"path": orjson.Fragment(path), **record}).decode())
                elif "error" in record:
                    say(f"{picture.name}: {record['error']}")
                else:
                    print(f"{picture.name}: {task.text(classifier, record)}")
                has_answer = has_answer or "error" not in record
                exit_code = max(exit_code, int("error" in record))
        except UnusableSource as exc:
            say(f"digits: {exc}")
            exit_code = 2
    if has_answer and not request.as_json:  # each line of JSON names the version
        sys.stdout.flush()
        print(f"digits: answered by {classifier.described}", file=sys.stderr)
    return exit_code


def _pictures(path: str, column: str | None) -> Iterator[NamedPicture]:
    """Yield the pictures of one source. Raises UnusableSource."""
    if path == _STDIN:
        yield NamedPicture(_STDIN, _read_stdin())
    elif not os.path.exists(path):  # noqa: PTH110 - Path's method raises if a folder may not be entered
        yield NamedPicture(path, path)  # reading it gives the error
    else:
        source = Sources([path], column)
        source.count()  # refuses a source without pictures
        yield from source.pictures()


def _read_stdin() -> bytes | DigitsError:
    """Read one encoded picture."""
    limit = decode_limits.MAX_DECODE_BYTES
    if sys.stdin is None:
        return InvalidImage("cannot be read: the standard input is closed")
    content = sys.stdin.buffer.read(limit + 1)
    if len(content) > limit:
        return ImageTooLarge(f"expected a picture of at most {limit} bytes, received more")
    return content
