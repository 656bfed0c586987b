"""`digits read`: read numbers of several digits in pictures."""

from functools import partial
from pathlib import Path
from typing import Any

import typer

from cli.batch.tasks import Read
from cli.main import DEFAULT_MODEL_DIR
from cli.models import ModelDir, load_model
from cli.pictures import AsJson, Force, Output, Request, Resume, Sources, Strict, answer
from cli.single_command import single_command
from digits.command_line import print_number


def command(name: str) -> Any:
    """Return the command."""
    return single_command(name, _read)


def _read(  # noqa: PLR0917 - Typer turns parameters into options
    sources: Sources,
    as_json: AsJson = False,
    output: Output = None,
    resume: Resume = False,
    force: Force = False,
    strict: Strict = False,
    model_dir: ModelDir = Path(DEFAULT_MODEL_DIR),
) -> None:
    """Read all digits on each picture. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    request = Request(sources, as_json, output, resume, force, strict)
    request.check()
    print_one = partial(print_number, as_json=as_json)
    raise typer.Exit(answer(request, load_model(model_dir), Read(), print_one))
