"""`digits predict`: recognize one digit per picture."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.batch.tasks import Predict
from cli.main import DEFAULT_MODEL_DIR
from cli.models import ModelDir, load_model
from cli.pictures import AsJson, Force, Output, Request, Resume, Sources, Strict, answer
from cli.single_command import single_command
from digits.command_line import print_answer
from digits.normalization.mnist_form import Mode


def command(name: str) -> Any:
    """Return the command."""
    return single_command(name, _predict)


def _predict(  # noqa: PLR0917 - Typer turns parameters into options
    sources: Sources,
    as_json: AsJson = False,
    output: Output = None,
    resume: Resume = False,
    force: Force = False,
    strict: Strict = False,
    normalize: Annotated[
        Mode,
        typer.Option(
            help="Which pictures to bring to MNIST form: those that are not in it (auto), all (always), or none "
            "(never). With never, pictures must be 28x28."
        ),
    ] = "auto",
    model_dir: ModelDir = Path(DEFAULT_MODEL_DIR),
) -> None:
    """Recognize one digit per picture. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    request = Request(sources, as_json, output, resume, force, strict)
    request.check()
    print_one = partial(print_answer, mode=normalize, as_json=as_json)
    raise typer.Exit(answer(request, load_model(model_dir), Predict(normalize), print_one))
