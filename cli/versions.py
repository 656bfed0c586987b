"""`digits versions`: list the published models."""

import sys
from typing import Any

from cli.models import ModelDir, ModelVersion, load_model
from cli.single_command import single_command
from digits.errors import DigitsError
from digits.model.artifact import DEFAULT_ROOT, Manifest, read_manifest
from digits.model.discovery import candidates


def command(name: str) -> Any:
    """Return the command."""
    return single_command(name, _versions)


def _versions(model_dir: ModelDir = None, model_version: ModelVersion = None) -> None:
    """List the published models, in the order in which the service prefers them: the newest first, not the best."""
    used = load_model(model_dir, model_version).folder
    reason = "newest usable version" if model_version is None else "required version"
    for folder in candidates(model_dir or DEFAULT_ROOT, is_named=model_dir is not None).all:
        try:
            print(_line(read_manifest(folder)), folder, *[f"(in use: {reason})"] * (folder == used), sep="  ")
        except DigitsError as exc:
            print(f"digits: {exc}", file=sys.stderr)


def _line(manifest: Manifest) -> str:
    accuracy = manifest.metrics.get("test", {}).get("accuracy")
    shown = "unknown" if accuracy is None else f"{accuracy:.2%}"
    return f"version {manifest.version:<4}  {manifest.created:%Y-%m-%d}  test accuracy {shown:<7}"
