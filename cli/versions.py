"""`digits versions`: list the published models."""

import sys
from pathlib import Path
from typing import Any

from cli.models import ModelDir, ModelVersion, load_model
from cli.single_command import single_command
from digits.errors import DigitsError
from digits.model.artifact import DEFAULT_ROOT, read_manifest
from digits.model.discovery import candidates

_ROW = "{:>7}  {:<10}  {:>8}  {}"


def command(name: str) -> Any:
    return single_command(name, _versions)


def _versions(model_dir: ModelDir = None, model_version: ModelVersion = None) -> None:
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
