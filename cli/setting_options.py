"""An option for each setting, and `--config` for a file with settings."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from app.settings import Settings
from cli.configuration import Configuration, configure, flag
from cli.single_command import single_command

_EPILOG = (
    "Each option is also an environment variable, such as MNIST_PORT for --port, and a key of the TOML file, such as "
    "port. An option takes precedence over the variable, and the variable over the file."
)

_CONFIG = "config"


def command_with_settings(name: str, run: Callable[[Configuration], None]) -> Any:
    """Return a command that combines its options with the other sources and passes the result to `run`.

    The docstring of `run` is the command's help.
    """

    def callback(**options: Any) -> None:
        file = options.pop(_CONFIG)
        run(configure({name: value for name, value in options.items() if value is not None}, file))

    config = Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file with settings.")]
    parameters = [
        inspect.Parameter(_CONFIG, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=config),
        *(_parameter(name, field) for name, field in Settings.model_fields.items()),
    ]
    return single_command(name, callback, parameters, help=inspect.getdoc(run), epilog=_EPILOG)


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """Return the parameter from which Typer makes the option for a setting."""
    is_switch = isinstance(field.default, bool)
    option = flag(name)
    default = "" if field.default in (None, ()) else str(field.default).lower()
    declared = typer.Option(
        f"{option}/--no-{option.removeprefix('--')}" if is_switch else option,
        help=f"{field.description}".replace("`", "") + (f" Default: {default}." if default else ""),
        metavar=None if is_switch else "VALUE",
    )
    kind = bool if is_switch else str
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, declared]
    )
