"""`digits predict` and `digits read`: recognize one digit per picture, or all digits on it."""

import inspect
from typing import Any

import typer

from cli.batch.tasks import Predict, Read
from cli.pictures import CommandWithRay, answer
from cli.request import Request
from cli.single_command import single_command

_OF_PREDICT = ("probabilities", "normalize")
"""Options that `digits read` does not have."""


def command(name: str) -> Any:
    options = list(inspect.signature(Request).parameters.values())
    if name == "predict":
        return single_command(name, _predict, options, cls=CommandWithRay)
    return single_command(name, _read, [each for each in options if each.name not in _OF_PREDICT], cls=CommandWithRay)


def _predict(**options: Any) -> None:
    """Recognize one digit per picture. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    request = Request(**options)
    raise typer.Exit(answer(request, Predict(request.normalize, request.probabilities)))


def _read(**options: Any) -> None:
    """Read all digits on each picture. Print a line for each, or write all answers to a file.

    Without --output, the exit code is 1 if any picture has no answer.
    """
    raise typer.Exit(answer(Request(**options), Read()))
