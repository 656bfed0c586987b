"""`digits describe`, `train`, `train-ink`, `evaluate` and `export`: the commands of `python -m training`."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from cli.extras import needs
from cli.main import DEFAULT_MODEL_DIR
from cli.single_command import plain_arguments


def command(name: str) -> Any:
    """Return a command of `python -m training`.

    Raises:
        SystemExit: the extra `train` is not installed. The message is one line that says how to install it.
    """
    if find_spec("tensorflow") is None:
        print(f"digits: {needs(f'`digits {name}`', 'TensorFlow', 'train')}", file=sys.stderr)
        sys.exit(2)
    from training.cli import app, errors_in_one_line  # noqa: PLC0415 - its packages may be missing

    group: Any = typer.main.get_command(app)
    found = plain_arguments(group.commands[name])
    for parameter in found.params:
        if parameter.envvar == "MNIST_MODEL_DIR":  # `training` publishes below the package by default
            parameter.default = Path(DEFAULT_MODEL_DIR)
    found.callback = errors_in_one_line()(found.callback)
    return found
