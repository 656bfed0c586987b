"""Make a command of `digits` from one function."""

from collections.abc import Callable
from typing import Any

import typer


def single_command(name: str, function: Callable[..., None], **options: Any) -> Any:
    """Return the command, whose arguments and options are the function's parameters. `options` are Typer's."""
    program = typer.Typer(add_completion=False, rich_markup_mode=None)
    program.command(name, **options)(function)
    return typer.main.get_command(program)
