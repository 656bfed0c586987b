"""`digits predict` and `digits read`: print a line for each picture that the user named, or write rows to a file."""

import inspect
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import typer
from typer.core import TyperCommand

from cli.batch.tasks import Predict, Read, Task
from cli.batch.worker import records
from cli.models import load_model
from cli.printable import say
from cli.request import Request
from cli.single_command import single_command
from cli.sources.listing import NamedPicture, Sources
from cli.sources.tables import UnusableSource
from digits.errors import DigitsError, ImageTooLarge, InvalidImage, OtherClasses
from digits.model.classifier import Classifier
from digits.model.predictions import to_json
from digits.pictures import decode_limits

_STDIN = "-"

_RAY_ADDRESS = re.compile(r"auto|local|\w+://\S+|[\w.\-\[\]:]+:\d+")

_HELP = """ Print a line for each, or write all answers to a file.

Without --output, the exit code is 1 if any picture has no answer."""


class _CommandWithRay(TyperCommand):
    """A command with `--ray` alone or `--ray ADDRESS`. Typer allows an option only one of these forms."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give `--ray` an empty value, unless an address follows it."""
        for index, arg in enumerate(args):
            if arg == "--ray" and not _RAY_ADDRESS.fullmatch("".join(args[index + 1 : index + 2])):
                args[index] = "--ray="
        return super().parse_args(ctx, args)


def command(name: str) -> Any:
    recognizes_one = name == "predict"

    def callback(**options: Any) -> None:
        request = Request(**options)
        task = Predict(request.normalize, request.probabilities) if recognizes_one else Read(request.marks)
        raise typer.Exit(_answer(request, task))

    options = inspect.signature(Request).parameters.values()
    others = ("marks",) if recognizes_one else ("probabilities", "normalize")
    own = [option for option in options if option.name not in others]
    summary = "Recognize one digit per picture." if recognizes_one else "Read all digits on each picture."
    return single_command(name, callback, own, cls=_CommandWithRay, help=summary + _HELP)


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
                    file = json.dumps(picture.content if isinstance(picture.content, str) else picture.name)
                    print(to_json({"file": orjson.Fragment(file), **record}).decode())
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
