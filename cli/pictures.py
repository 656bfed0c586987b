"""Answer the pictures that the user named: print a line for each, or write all rows to a file.

`digits predict` and `digits read` share these arguments and options.
"""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.batch.listing import UnusableSource, count, pictures
from cli.batch.tasks import Task
from digits.errors import ImageTooLarge
from digits.model.classifier import Classifier
from digits.pictures import decode_limits
from digits.pictures.decode import accepted_formats, read

_STDIN = "-"

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help=f"{accepted_formats()} pictures, folders of them, or - for a picture on standard input. Folders are "
        "searched recursively.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write one row per picture to this file instead, and use all cores. The name ends in .csv, .jsonl or "
        ".parquet.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run with --output.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing --output, and discard an interrupted run.")]
Strict = Annotated[bool, typer.Option("--strict", help="With --output, exit with 1 if any picture has no answer.")]

PrintAnswer = Callable[[Classifier, str, Callable[[], bytes]], bool]
"""Prints the answer for one picture, and returns whether there is one.

It gets the picture's name, and a function that returns the encoded picture or raises a DigitsError.
"""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for."""

    sources: list[str]
    as_json: bool
    output: Path | None
    resume: bool
    force: bool
    strict: bool

    def check(self) -> None:
        """Raise BadParameter if the options do not fit together."""
        if self.output is None:
            if self.resume or self.force or self.strict:
                raise typer.BadParameter("expected --resume, --force and --strict together with --output")
        elif self.as_json or _STDIN in self.sources or (self.resume and self.force):
            raise typer.BadParameter("expected --output without --json and -, and only one of --resume and --force")


def answer(request: Request, classifier: Classifier, task: Task, print_answer: PrintAnswer) -> int:
    """Print or write the answers, and return the exit code.

    Args:
        request: was checked.
        classifier: the model version to use.
        task: makes the rows of a file.
        print_answer: prints one answer.
    """
    if request.output is None:
        return _print_answers(request.sources, classifier, print_answer)
    from cli.batch.run import Options, run  # noqa: PLC0415 - a single picture needs no processes

    options = Options(request.sources, request.output, request.resume, request.force, request.strict)
    return run(options, classifier, task)


def _print_answers(sources: list[str], classifier: Classifier, print_answer: PrintAnswer) -> int:
    exit_code = 0
    for source in sources:
        try:
            for name in _pictures(source):
                if not print_answer(classifier, name, _reader(name)):
                    exit_code = max(exit_code, 1)
        except UnusableSource as exc:
            print(f"digits: {exc}", file=sys.stderr)
            exit_code = 2
    return exit_code


def _pictures(source: str) -> Iterable[str]:
    """Return the pictures of a folder, or the source itself. Raises UnusableSource."""
    if not Path(source).is_dir():
        return [source]
    count([source])  # refuses a folder without pictures
    return pictures([source])


def _reader(source: str) -> Callable[[], bytes]:
    """Return a function that reads a file, or standard input for -."""
    return _read_stdin if source == _STDIN else partial(read, Path(source))


def _read_stdin() -> bytes:
    """Read one encoded picture. Raises ImageTooLarge."""
    limit = decode_limits.MAX_DECODE_BYTES
    content = sys.stdin.buffer.read(limit + 1)
    if len(content) > limit:
        raise ImageTooLarge(f"expected a picture of at most {limit} bytes, received more")
    return content
