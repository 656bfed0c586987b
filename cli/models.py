"""The published models: the options that select one, and `digits versions`, which lists them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from digits.errors import DigitsError
from digits.model.artifact import DEFAULT_ROOT, MAX_VERSION, read_manifest
from digits.model.classifier import Classifier, load_newest
from digits.model.discovery import candidates

app = typer.Typer()

_ROW = "{:>7}  {:<10}  {:>8}  {}"

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
        max=MAX_VERSION,
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


@app.command()
def versions(model_dir: ModelDir = None, model_version: ModelVersion = None) -> None:
    """List the published models, in the order in which the service prefers them: the newest first, not the best."""
    used = load_model(model_dir, model_version)
    print(_ROW.format("version", "created", "accuracy", "folder"))
    for folder in candidates(model_dir or DEFAULT_ROOT, is_named=model_dir is not None).all:
        try:
            manifest = read_manifest(folder)
        except DigitsError as exc:
            print(f"digits: {exc}", file=sys.stderr)
            continue
        accuracy = manifest.metrics.get("test", {}).get("accuracy")
        shown = "unknown" if accuracy is None else f"{accuracy:.2%}".replace("%", " %")
        print(_ROW.format(manifest.version, f"{manifest.created:%Y-%m-%d}", shown, _short(folder)))
    reason = "the newest usable one" if model_version is None else "the required one"
    print(f"In use: version {used.manifest.version} in {_short(used.folder)}, {reason}.")


def _short(folder: Path | None) -> Path | None:
    """Return a folder below the working directory as a relative path, which fits the terminal."""
    return folder.relative_to(Path.cwd()) if folder and folder.is_relative_to(Path.cwd()) else folder
