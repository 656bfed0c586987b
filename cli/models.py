"""The option `--model-dir`, and the model that it selects."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from digits.errors import DigitsError
from digits.model.classifier import Classifier, load_newest

ModelDir = Annotated[
    Path,
    typer.Option(
        envvar="MNIST_MODEL_DIR",
        show_envvar=True,
        help="Folder with published models. While it holds none, the shipped model is used.",
    ),
]


def load_model(root: Path) -> Classifier:
    """Load the newest usable version, and report the newer ones that are not usable on standard error.

    Raises:
        typer.Exit: no version is usable. One line on standard error says why. The exit code is 2.
    """
    try:
        classifier, refusals = load_newest(root)
    except DigitsError as exc:
        print(f"digits: {exc}", file=sys.stderr)
        raise typer.Exit(2) from None
    for refusal in refusals:
        print(f"digits: not used: {refusal}", file=sys.stderr)
    return classifier
