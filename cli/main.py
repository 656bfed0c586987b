"""The entry point of the command `digits`.

Processes that the command spawns import this module again. So it imports nothing that takes time.
"""

import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec

_RAY_ADDRESS = re.compile(r"auto|local|\w+://\S+|[\w.\-\[\]:]+:\d+")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exits with 2 and the message of a SystemExit that has one."""
    if find_spec("typer") is None:
        print(
            "digits: the command needs Typer, which the extra `cli` brings. Run in the repository's folder: "
            "uv tool install '.[cli]', or make .venv/.serve for .venv/bin/digits",
            file=sys.stderr,
        )
        sys.exit(2)
    from cli.commands import app  # noqa: PLC0415 - see above

    try:
        app(_with_ray_address(sys.argv[1:] if arguments is None else arguments), prog_name="digits")
    except SystemExit as stopped:
        if not isinstance(stopped.code, str):
            raise
        print(stopped.code, file=sys.stderr)
        sys.exit(2)


def _with_ray_address(arguments: Sequence[str]) -> list[str]:
    """Give `--ray` an empty value, unless an address follows it. An option of Typer has always a value, or never."""
    following = [*arguments[1:], ""]
    return [
        "--ray=" if argument == "--ray" and not _RAY_ADDRESS.fullmatch(after) else argument
        for argument, after in zip(arguments, following, strict=True)
    ]
