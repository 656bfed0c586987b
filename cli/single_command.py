"""Make a command of `digits` from one function."""

from collections.abc import Callable
from typing import Any

import typer


def single_command(name: str, function: Callable[..., None], **options: Any) -> Any:
    """Return the command, whose arguments and options are the function's parameters. `options` are Typer's."""
    program = typer.Typer(add_completion=False, rich_markup_mode=None)
    program.command(name, **options)(function)
    return plain_arguments(typer.main.get_command(program))


def plain_arguments(command: Any) -> Any:
    """Return the command. Its help names the arguments without their Python types, such as `<list[str]>`."""
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            parameter.display_type_rich = lambda ctx: None  # noqa: ARG005 - Typer names the parameter
    return command
