"""Make a command of `digits` from one function."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import typer


def single_command(
    name: str, function: Callable[..., None], parameters: Sequence[inspect.Parameter] = (), **options: Any
) -> Any:
    """Return the command. Its help is the docstring of the function. `options` are passed on to Typer.

    Its arguments and options are the parameters of the function, or those given for a function that takes any.
    """
    if parameters:  # Typer reads them from these two attributes
        function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    program = typer.Typer(add_completion=False, rich_markup_mode=None)
    program.command(name, **options)(function)
    return plain_arguments(typer.main.get_command(program))


def plain_arguments(command: Any) -> Any:
    """Return the command. Its help names the arguments without their Python types, such as `<list[str]>`."""
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - Typer names the parameter
    return command
