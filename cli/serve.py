"""`digits serve`: the service, with every setting as an option."""

from typing import Any

import typer

from app.start import start
from cli.configuration import Configuration
from cli.setting_options import command_with_settings


def command(name: str) -> Any:
    return command_with_settings(name, _serve)


def _serve(configuration: Configuration) -> None:
    """Start the service, with the page to draw on. Ctrl-C stops it."""
    raise typer.Exit(start(configuration.settings))
