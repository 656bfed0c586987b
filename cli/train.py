"""The commands of `python -m training`. Without their extra, each of them says how to install it."""

from importlib.util import find_spec

import typer

from cli.extras import needs

NAMES = ("describe", "train", "train-finder", "evaluate", "export")


def _refuse(context: typer.Context) -> None:
    raise SystemExit(f"digits: {needs(f'`digits {context.info_name}`', 'TensorFlow', 'train')}")


if find_spec("tensorflow") is not None:
    from training.cli import app
else:
    app = typer.Typer()
    for _name in NAMES:
        app.command(
            _name,
            help="Needs the extra `train`.",
            add_help_option=False,
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_refuse)

__all__ = ["NAMES", "app"]
