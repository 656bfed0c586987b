"""`digits read`: read numbers of several digits in pictures."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.main import DEFAULT_MODEL_DIR
from cli.models import ModelDir, load_model
from cli.predict import reader
from digits.command_line import print_number
from digits.images import accepted_formats


def command(name: str) -> Any:
    """Return the command."""
    program = typer.Typer(add_completion=False, rich_markup_mode=None)
    program.command(name)(_read)
    return typer.main.get_command(program)


def _read(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help=f"{accepted_formats()} pictures, or - for a picture on standard input."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    model_dir: ModelDir = Path(DEFAULT_MODEL_DIR),
) -> None:
    """Read all digits on each picture. The exit code is 1 if any picture has no answer."""
    classifier = load_model(model_dir)
    answered = [print_number(classifier, file, reader(file), as_json=as_json) for file in files]
    raise typer.Exit(0 if all(answered) else 1)
