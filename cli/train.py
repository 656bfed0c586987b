"""`digits describe`, `train`, `train-ink`, `evaluate` and `export`: the commands of `python -m training`."""

from importlib.util import find_spec
from typing import Any

import typer

from cli.extras import needs
from cli.single_command import plain_arguments


def command(name: str) -> Any:
    """Return a command of `python -m training`.

    Raises SystemExit if the extra `train` is not installed. The message is one line that says how to install it.
    """
    if find_spec("tensorflow") is None:
        raise SystemExit(f"digits: {needs(f'`digits {name}`', 'TensorFlow', 'train')}")
    from training.cli import app, errors_in_one_line  # noqa: PLC0415 - its packages may be missing

    group: Any = typer.main.get_command(app)
    found = plain_arguments(group.commands[name])
    found.callback = errors_in_one_line()(found.callback)
    return found
