"""`digits predict` and `digits read`: recognize one digit per picture, or all digits on it."""

from typing import Annotated, Any

import typer

from cli import pictures
from cli.batch.tasks import Predict, Read
from cli.models import ModelDir, ModelVersion
from cli.request import Request
from cli.single_command import single_command
from digits.normalization.mnist_form import Mode


def command(name: str) -> Any:
    return single_command(name, _predict if name == "predict" else _read, cls=pictures.CommandWithRay)


def _predict(  # noqa: PLR0917 - Typer turns parameters into options
    sources: pictures.SourcePaths,
    as_json: pictures.AsJson = False,
    column: pictures.Column = None,
    output: pictures.Output = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="With --output, also write the probability of every class.")
    ] = False,
    ray: pictures.Ray = None,
    resume: pictures.Resume = False,
    force: pictures.Force = False,
    strict: pictures.Strict = False,
    normalize: Annotated[
        Mode,
        typer.Option(
            metavar="auto|always|never",
            help="Which pictures to bring to MNIST form: those that are not in it (auto), all (always), or none "
            "(never). With never, pictures must be 28x28.",
        ),
    ] = "auto",
    model_dir: ModelDir = None,
    model_version: ModelVersion = None,
) -> None:
    """Recognize one digit per picture. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    request = Request(sources, as_json, column, output, ray, resume, force, strict, model_dir, model_version)
    raise typer.Exit(pictures.answer(request, Predict(normalize, probabilities)))


def _read(  # noqa: PLR0917 - Typer turns parameters into options
    sources: pictures.SourcePaths,
    as_json: pictures.AsJson = False,
    column: pictures.Column = None,
    output: pictures.Output = None,
    ray: pictures.Ray = None,
    resume: pictures.Resume = False,
    force: pictures.Force = False,
    strict: pictures.Strict = False,
    model_dir: ModelDir = None,
    model_version: ModelVersion = None,
) -> None:
    """Read all digits on each picture. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    request = Request(sources, as_json, column, output, ray, resume, force, strict, model_dir, model_version)
    raise typer.Exit(pictures.answer(request, Read()))
