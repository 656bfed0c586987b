"""The settings of the service from options, environment, file and defaults. The first of these takes precedence."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic_settings import EnvSettingsSource

from app.settings import Settings, read_settings


@dataclass(frozen=True, slots=True)
class Configuration:
    settings: Settings
    sources: dict[str, str]
    """Where each setting that is no default comes from: `--port`, `MNIST_PORT`, or the path of the file."""


def configure(options: Mapping[str, Any], file: Path | None) -> Configuration:
    """Combine the sources: options by field of `Settings`, and a TOML file.

    Raises SystemExit if the file cannot be read or a value is invalid. The message is one line that names the source.
    """
    environment = EnvSettingsSource(Settings)()
    from_file = _read(file) if file is not None else {}
    named = {name: f"MNIST_{name.upper()}" for name in environment} | {name: flag(name) for name in options}
    in_errors = {name: f"{file}: {name}" for name in from_file} | named
    settings = read_settings({**from_file, **environment, **options}, in_errors)
    return Configuration(settings, dict.fromkeys(from_file, str(file)) | named)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _read(file: Path) -> dict[str, Any]:
    """Return the values of a file as the environment would give them. An empty text or list counts as unset there."""
    try:
        with file.open("rb") as stream:
            table = tomllib.load(stream)
    except OSError as exc:
        raise SystemExit(f"digits: {file}: cannot read the settings: {exc.strerror or exc}") from None
    except ValueError as exc:  # not TOML, or not UTF-8
        raise SystemExit(f"digits: {file}: expected TOML: {exc}") from None
    for name in table:
        if name not in Settings.model_fields:
            plain = name.lower().replace("-", "_").removeprefix("mnist_")
            nearest = get_close_matches(plain, Settings.model_fields, n=1, cutoff=0)[0]
            raise SystemExit(f"digits: {file}: unknown setting {name!r}. The nearest one is {nearest!r}")
    return {name: text for name, value in table.items() if (text := _as_text(value)) != ""}


def _as_text(value: Any) -> Any:
    """Return lists and tables in the form of the environment, so that the same validators read them."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items())
    return value
