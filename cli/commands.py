"""The list of commands. A command's module is imported only when the command runs."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup


class Lazy(NamedTuple):
    """A command that is not imported yet."""

    module: str
    """A module with a function `command(name)`, which returns the command."""
    summary: str


COMMANDS = {
    "serve": Lazy("cli.serve", "Start the service, with the page to draw on."),
    "settings": Lazy("cli.serve", "Print the settings of the service, each with its source."),
    "predict": Lazy("cli.recognize", "Recognize one digit per picture, in files and folders."),
    "read": Lazy("cli.recognize", "Read numbers of several digits, in files and folders."),
    "describe": Lazy("cli.train", "Show the data before training: shapes, values and samples."),
    "train": Lazy("cli.train", "Train a network and publish it."),
    "train-finder": Lazy("cli.train", "Train the network that finds the digits of a number, and publish it."),
    "train-ink": Lazy("cli.train", "Train the network that finds ink on any paper, and publish it."),
    "evaluate": Lazy("cli.train", "Assess a published model on test images."),
    "export": Lazy("cli.train", "Publish a Keras file, or write a model for another engine."),
    "versions": Lazy("cli.models", "List the published models."),
}


class _Commands(TyperGroup):
    """Shows the summaries of `COMMANDS`, and replaces an entry by the real command where its options matter."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SystemExit as stopped:
            if not isinstance(stopped.code, str):
                raise
            typer.echo(stopped.code, err=True)
            raise typer.Exit(2) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None:
            command = import_module(COMMANDS[name].module).command(name)
        return name, command, rest


app = typer.Typer(
    cls=_Commands,
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


for _name, _lazy in COMMANDS.items():
    app.command(_name, help=_lazy.summary)(lambda: None)
