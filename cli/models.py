"""The options `--model-dir` and `--model-version`, and the model that they select."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from digits.errors import DigitsError
from digits.model.artifact import DEFAULT_ROOT
from digits.model.classifier import Classifier, load_newest

ModelDir = Annotated[
    Path | None,
    typer.Option(
        envvar="MNIST_MODEL_DIR",
        metavar="FOLDER",
        show_envvar=True,
        help=f"Folder with published models, or of one version. Default: {DEFAULT_ROOT}, and the shipped model "
        "while that folder has none.",
    ),
]
ModelVersion = Annotated[
    int | None,
    typer.Option(
        envvar="MNIST_MODEL_VERSION",
        metavar="N",
        show_envvar=True,
        min=1,
        help="Use only this version, also a shipped one. Default: the newest usable version.",
    ),
]


def load_model(model_dir: Path | None, version: int | None) -> Classifier:
    """Load the newest usable version, or the required one. Report those that are not used on standard error."""
    try:
        classifier, refusals = load_newest(model_dir or DEFAULT_ROOT, is_named=model_dir is not None, version=version)
    except DigitsError as exc:
        raise SystemExit(f"digits: {exc}") from None
    for refusal in refusals:
        print(f"digits: not used: {refusal}", file=sys.stderr)
    return classifier
