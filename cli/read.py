"""`digits read`: read numbers of several digits in pictures."""

from pathlib import Path
from typing import Any

import typer

from cli.batch.tasks import Read
from cli.main import DEFAULT_MODEL_DIR
from cli.models import ModelDir
from cli.pictures import (
    AsJson,
    Column,
    CommandWithRay,
    Force,
    Output,
    Ray,
    Request,
    Resume,
    SourcePaths,
    Strict,
    answer,
)
from cli.single_command import single_command


def command(name: str) -> Any:
    """Return the command."""
    return single_command(name, _read, cls=CommandWithRay)


def _read(  # noqa: PLR0917 - Typer turns parameters into options
    sources: SourcePaths,
    as_json: AsJson = False,
    column: Column = None,
    output: Output = None,
    ray: Ray = None,
    resume: Resume = False,
    force: Force = False,
    strict: Strict = False,
    model_dir: ModelDir = Path(DEFAULT_MODEL_DIR),
) -> None:
    """Read all digits on each picture. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    request = Request(sources, as_json, column, output, ray, resume, force, strict, model_dir)
    raise typer.Exit(answer(request, Read()))
