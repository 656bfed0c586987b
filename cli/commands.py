"""The command `digits`, put together from the modules of its commands."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from cli import models, recognize, serve, train

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Recognize handwritten digits: start the service, read picture files, train and publish networks.",
)


def _print_version(shown: bool) -> None:
    if shown:
        try:
            number = version("digits")
        except PackageNotFoundError:  # the image has the folders of the package, but not its metadata
            from app.main import VERSION as number  # noqa: N811, PLC0415 - it takes time to import
        print("digits", number)
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


for _part in (serve, recognize, train, models):
    app.add_typer(_part.app)
