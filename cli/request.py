"""The arguments and options of `digits predict` and `digits read`, as one record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from cli.models import ModelDir, ModelVersion
from digits.finder.read import Marks
from digits.normalization.mnist_form import Mode
from digits.pictures.decode import ACCEPTED_FORMATS


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for. Each field is an argument or option, in the order of the help."""

    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help=f"{ACCEPTED_FORMATS} pictures, NPZ and Parquet files with a picture in each row, folders of these, "
            "or - for a picture on standard input. Folders are searched recursively.",
        ),
    ]
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The array of NPZ files and the column of Parquet files that holds the pictures. Default: the only "
            "one.",
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write one row per picture to this file instead, and use all cores. The name ends in .csv, .jsonl or "
            ".parquet.",
        ),
    ] = None
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="With --output, also write the probability of every class.")
    ] = False
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]",
            help="With --output, use a Ray cluster, such as 10.0.0.1:6379 or auto. Without an address: RAY_ADDRESS, "
            "else a cluster on this machine for this run only. Each node needs this command, and the models and "
            "pictures under the same paths.",
        ),
    ] = None
    """None means processes of this machine."""
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run with --output.")] = False
    force: Annotated[
        bool, typer.Option("--force", help="Replace an existing --output, and discard an interrupted run.")
    ] = False
    strict: Annotated[
        bool, typer.Option("--strict", help="With --output, exit with 1 if any picture has no answer.")
    ] = False
    normalize: Annotated[
        Mode,
        typer.Option(
            metavar="auto|always|never",
            help="Which pictures to bring to MNIST form: those that are not in it (auto), all (always), or none "
            "(never). With never, pictures must be 28x28.",
        ),
    ] = "auto"
    marks: Annotated[
        Marks,
        typer.Option(
            metavar="count|ignore",
            help="Whether each mark beside the digits stops a number from being accepted (count), or points, commas, "
            "colons, dashes and slashes between digits do not (ignore), as in phone numbers, amounts and dates.",
        ),
    ] = "count"
    model_dir: ModelDir = None
    model_version: ModelVersion = None
