"""`digits settings`: print the settings in force as a TOML file, each with its source."""

import json
from pathlib import Path
from typing import Any

from pydantic import HttpUrl

from app.settings import Settings
from cli.configuration import Configuration
from cli.setting_options import command_with_settings


def command(name: str) -> Any:
    """Return the command. It takes the options of `digits serve`."""
    return command_with_settings(name, _print_settings)


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
