"""`digits predict`: recognize the digits in pictures."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.main import DEFAULT_MODEL_DIR
from cli.models import ModelDir, load_model
from digits import decode_limits
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


def _predict(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help=f"{accepted_formats()} pictures, or - for a picture on stdin."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    normalize: Annotated[
        Mode,
        typer.Option(
            help="Which pictures to bring to MNIST form: those that are not in it (auto), all (always), or none "
            "(never). With never, pictures must be 28x28."
        ),
    ] = "auto",
    model_dir: ModelDir = Path(DEFAULT_MODEL_DIR),
) -> None:
    """Recognize the digits in pictures and print one line for each. The exit code is 1 if any has no answer."""
    classifier = load_model(model_dir)
    successes = [print_answer(classifier, source, _reader(source), normalize, as_json=as_json) for source in sources]
    raise typer.Exit(0 if all(successes) else 1)


def _reader(source: str) -> Callable[[], bytes]:
    return _read_stdin if source == _STDIN else partial(read, Path(source))


def _read_stdin() -> bytes:
    """Read one encoded picture. Raises ImageTooLarge."""
    limit = decode_limits.MAX_DECODE_BYTES
    content = sys.stdin.buffer.read(limit + 1)
    if len(content) > limit:
        raise ImageTooLarge(f"expected a picture of at most {limit} bytes, received more")
    return content
