"""The settings of the service from options, environment, file and defaults. The first of these takes precedence."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

import typer
from pydantic import ValidationError
from pydantic_settings import EnvSettingsSource

from app.settings import Settings, first_invalid
from cli.main import DEFAULT_MODEL_DIR


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in force."""

    settings: Settings
    sources: dict[str, str]
    """Where each setting comes from: `--port`, `MNIST_PORT`, the path of the file, or `default`."""


def configure(options: Mapping[str, Any], file: Path | None) -> Configuration:
    """Combine the sources.

    Args:
        options: the values of options, by field of `Settings`.
        file: a TOML file, or None.

    Raises:
        typer.Exit: the file cannot be read, or a value is invalid. One line on standard error says why, and names the
            source. The exit code is 2.
    """
    environment = EnvSettingsSource(Settings)()
    from_file = _read(file) if file is not None else {}
    values = {**from_file, **environment, **options}
    sources = (
        dict.fromkeys(Settings.model_fields, "default")
        | dict.fromkeys(from_file, str(file))
        | {name: variable(name) for name in environment}
        | {name: flag(name) for name in options}
    )
    try:
        settings = Settings(**values)
    except ValidationError as exc:
        invalid = first_invalid(exc)
        source = sources[invalid.name]
        _refuse(f"{source}: {invalid.name}: {invalid.reason}" if source == str(file) else f"{source}: {invalid.reason}")
    if "model_dir" not in settings.model_fields_set:
        # The set of named fields stays as it is, because a named folder must exist and the default one need not.
        changed = {**dict(settings), "model_dir": Path(DEFAULT_MODEL_DIR)}
        settings = Settings.model_construct(settings.model_fields_set, **changed)
    return Configuration(settings, sources)


def flag(name: str) -> str:
    """Return the option of a setting."""
    return "--" + name.replace("_", "-")


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"MNIST_{name.upper()}"


def _read(file: Path) -> dict[str, Any]:
    """Return the values of a file as the environment would give them. An empty text or list counts as unset there."""
    try:
        with file.open("rb") as stream:
            table = tomllib.load(stream)
    except OSError as exc:
        _refuse(f"{file}: cannot read the settings: {exc.strerror or exc}")
    except ValueError as exc:  # not TOML, or not UTF-8
        _refuse(f"{file}: expected TOML: {exc}")
    for name in table:
        if name not in Settings.model_fields:
            plain = name.lower().replace("-", "_").removeprefix("mnist_")
            nearest = get_close_matches(plain, Settings.model_fields, n=1, cutoff=0)[0]
            _refuse(f"{file}: unknown setting {name!r}. The nearest one is {nearest!r}")
    values = {name: _as_text(value) for name, value in table.items()}
    return {name: value for name, value in values.items() if value != ""}


def _as_text(value: Any) -> Any:
    """Return lists and tables in the form of the environment, so that the same validators read them."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return value


def _refuse(message: str) -> NoReturn:
    typer.echo(f"digits: {message}", err=True)
    raise typer.Exit(2)
