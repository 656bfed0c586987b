"""`digits predict`: recognize the digits in pictures."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.batch.listing import UnusableSource, count, pictures
from cli.main import DEFAULT_MODEL_DIR
from cli.models import ModelDir, load_model
from digits import decode_limits
from digits.classifier import Classifier
from digits.command_line import print_answer
from digits.errors import ImageTooLarge
from digits.images import accepted_formats, read
from digits.mnist_form import Mode

_STDIN = "-"


def command(name: str) -> Any:
    """Return the command."""
    program = typer.Typer(add_completion=False, rich_markup_mode=None)
    program.command(name)(_predict)
    return typer.main.get_command(program)


def _predict(  # noqa: PLR0917 - Typer turns parameters into options
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help=f"{accepted_formats()} pictures, folders of them, or - for a picture on standard input. Folders are "
            "searched recursively.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write the answers to this file, which ends in .csv, .jsonl or .parquet, and use all cores.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run with --output.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing --output.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --output, exit with 1 if any picture has no answer.")
    ] = False,
    normalize: Annotated[
        Mode,
        typer.Option(
            help="Which pictures to bring to MNIST form: those that are not in it (auto), all (always), or none "
            "(never). With never, pictures must be 28x28."
        ),
    ] = "auto",
    model_dir: ModelDir = Path(DEFAULT_MODEL_DIR),
) -> None:
    """Recognize the digits in pictures. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    if output is None:
        if resume or force or strict:
            raise typer.BadParameter("expected --resume, --force and --strict together with --output")
        raise typer.Exit(_print_answers(sources, load_model(model_dir), normalize, as_json=as_json))
    if as_json or _STDIN in sources or (resume and force):
        raise typer.BadParameter("expected --output without --json and -, and only one of --resume and --force")
    from cli.batch.run import Options, run  # noqa: PLC0415 - a single picture needs no processes

    options = Options(sources, output, normalize, resume, force, strict)
    raise typer.Exit(run(options, load_model(model_dir)))


def _print_answers(sources: list[str], classifier: Classifier, mode: Mode, *, as_json: bool) -> int:
    """Print an answer for each picture, and return the exit code."""
    exit_code = 0
    for source in sources:
        try:
            for name in _pictures(source):
                if not print_answer(classifier, name, reader(name), mode, as_json=as_json):
                    exit_code = 1
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


def reader(source: str) -> Callable[[], bytes]:
    """Return a function that reads a file, or standard input for -."""
    return _read_stdin if source == _STDIN else partial(read, Path(source))


def _read_stdin() -> bytes:
    """Read one encoded picture. Raises ImageTooLarge."""
    limit = decode_limits.MAX_DECODE_BYTES
    content = sys.stdin.buffer.read(limit + 1)
    if len(content) > limit:
        raise ImageTooLarge(f"expected a picture of at most {limit} bytes, received more")
    return content
