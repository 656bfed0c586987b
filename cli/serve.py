"""`digits serve` and `digits settings`: the commands that have an option for each setting of the service."""

import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import HttpUrl
from pydantic.fields import FieldInfo

from app.settings import Settings
from cli.configuration import Configuration, configure, flag
from cli.single_command import single_command

_EPILOG = (
    "Each option is also an environment variable, such as MNIST_PORT for --port, and a key of the TOML file, such as "
    "port. An option takes precedence over the variable, and the variable over the file."
)


def command(name: str) -> Any:
    """Return the command, which combines its options with the other sources."""
    run = _serve if name == "serve" else _print_settings

    def callback(**options: Any) -> None:
        file = options.pop("config")
        run(configure({name: value for name, value in options.items() if value is not None}, file))

    options = {"config": Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file with settings.")]}
    options |= {name: _option(name, field) for name, field in Settings.model_fields.items()}
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(name, keyword, default=None, annotation=kind) for name, kind in options.items()]
    return single_command(name, callback, parameters, help=inspect.getdoc(run), epilog=_EPILOG)


def _option(name: str, field: FieldInfo) -> Any:
    """Return the type from which Typer makes the option for a setting."""
    is_switch = isinstance(field.default, bool)
    option = flag(name)
    default = "" if field.default in (None, ()) else str(field.default).lower()
    declared = typer.Option(
        f"{option}/--no-{option.removeprefix('--')}" if is_switch else option,
        help=f"{field.description}".replace("`", "") + (f" Default: {default}." if default else ""),
        metavar=None if is_switch else "VALUE",
    )
    return Annotated[(bool if is_switch else str) | None, declared]


def _serve(configuration: Configuration) -> None:
    """Start the service, with the page to draw on. Ctrl-C stops it."""
    from app.start import start  # noqa: PLC0415 - takes 0.3 s, and `digits settings` does not need it

    raise typer.Exit(start(configuration.settings))


def _print_settings(configuration: Configuration) -> None:
    """Print the settings that `digits serve` with the same options would use, as a TOML file without secrets."""
    for name in Settings.model_fields:
        value = getattr(configuration.settings, name)
        text = json.dumps(_shown(name, value), ensure_ascii=False)  # TOML has no surrogates
        line = f"# {name} is not set" if value in (None, "", ()) else f"{name} = {text}"
        source = configuration.sources.get(name, "default")
        if name == "model_dir" and source == "default":
            line = f"# {line}"  # a folder that is named must exist
        print(f"{line:<40}  # {source}")


def _shown(name: str, value: Any) -> Any:
    """Return a value as TOML has it, with secrets replaced."""
    if isinstance(value, HttpUrl):
        return str(value).replace(f":{value.password}@", ":hidden@") if value.password else str(value)
    if name == "model_labels":
        return [f"{label}={version}" for label, version in value]
    return str(value) if isinstance(value, Path) else value
