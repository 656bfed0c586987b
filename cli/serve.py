"""`digits serve`: the service, with every setting as an option."""

import inspect
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.settings import Settings, first_invalid
from app.start import start

_EPILOG = (
    "Each option is also an environment variable, such as MNIST_PORT for --port. An option takes precedence. "
    "Set keys by MNIST_API_KEYS, because other users of this machine can see options."
)


def command(name: str) -> Any:
    """Return the command. Its options are the fields of `Settings`."""
    program = typer.Typer(add_completion=False, rich_markup_mode=None)
    program.command(name, epilog=_EPILOG)(_serve)
    return typer.main.get_command(program)


def _serve(**options: str | bool | None) -> None:
    """Start the service, with the page to draw on. Ctrl-C stops it."""
    given = {name: value for name, value in options.items() if value is not None}
    try:
        settings = Settings(**given)  # type: ignore[arg-type] # the fields' own validators read text
    except ValidationError as exc:
        invalid = first_invalid(exc)
        source = _flag(invalid.name) if invalid.name in given else f"MNIST_{invalid.name.upper()}"
        print(f"digits: {source}: {invalid.reason}", file=sys.stderr)
        raise typer.Exit(2) from None
    raise typer.Exit(start(settings))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    """Return the parameter from which Typer makes the option for a setting."""
    is_switch = isinstance(field.default, bool)
    flag = _flag(name)
    default = _default(field.default)
    option = typer.Option(
        f"{flag}/--no-{flag.removeprefix('--')}" if is_switch else flag,
        help=f"{field.description}".replace("`", "") + (f" Default: {default}." if default else ""),
        metavar=None if is_switch else "VALUE",
    )
    kind = bool if is_switch else str
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _default(value: Any) -> str:
    """Return a setting's default as the help shows it, or "" if there is none."""
    if value in (None, ()):
        return ""
    return value.name if isinstance(value, Path) else str(value).lower()


# Typer reads the options from here.
_parameters = [_parameter(name, field) for name, field in Settings.model_fields.items()]
_serve.__signature__ = inspect.Signature(_parameters)  # type: ignore[attr-defined]
_serve.__annotations__ = {parameter.name: parameter.annotation for parameter in _parameters}
