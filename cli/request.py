"""The arguments and options that `digits predict` and `digits read` share, as one record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from digits.pictures.decode import ACCEPTED_FORMATS

SourceNames = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help=f"{ACCEPTED_FORMATS} pictures, NPZ and Parquet files with a picture in each row, folders of these, "
        "or - for a picture on standard input. Folders are searched recursively.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Column = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The array of NPZ files and the column of Parquet files that holds the pictures. Default: the only one.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write one row per picture to this file instead, and use all cores. The name ends in .csv, .jsonl or "
        ".parquet.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="[ADDRESS]",
        help="With --output, use a Ray cluster, such as 10.0.0.1:6379 or auto. Without an address: RAY_ADDRESS, "
        "else a cluster on this machine for this run only. Each node needs this command, and the models and "
        "pictures under the same paths.",
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run with --output.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing --output, and discard an interrupted run.")]
Strict = Annotated[bool, typer.Option("--strict", help="With --output, exit with 1 if any picture has no answer.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for, besides the task."""

    sources: list[str]
    as_json: bool
    column: str | None
    output: Path | None
    ray: str | None
    """None means processes of this machine."""
    resume: bool
    force: bool
    strict: bool
    model_dir: Path | None
    model_version: int | None
