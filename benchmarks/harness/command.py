"""The command line that all benchmarks share."""

import argparse
import signal
import sys
from collections.abc import Collection


def parser(doc: str, *, rounds: int | None = None, seconds: float | None = None) -> argparse.ArgumentParser:
    """Return a parser that is named after the running module, and let SIGTERM stop the servers that it has started.

    Args:
        doc: the module's docstring, whose first line is the question that the benchmark answers.
        rounds: default of `--rounds`. None leaves the option out.
        seconds: default of `--seconds`, and its type. None leaves the option out.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SystemExit leaves the `with` blocks that stop servers
    spec = sys.modules["__main__"].__spec__
    name = spec.name.removesuffix(".__main__") if spec else "benchmark"
    made = argparse.ArgumentParser(prog=f"python -m {name}", description=doc.splitlines()[0])
    if rounds is not None:
        made.add_argument("--rounds", type=int, default=rounds, help="default: %(default)s")
    if seconds is not None:
        made.add_argument(
            "--seconds", type=type(seconds), default=seconds, help="length of one measurement (default: %(default)s)"
        )
    return made


def chosen(parser: argparse.ArgumentParser, option: str, text: str, known: Collection[str]) -> list[str]:
    """Split the comma-separated value of an option. An unknown name ends the program with a message."""
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{option}: expected names from {', '.join(known)}, received {unknown[0]}")
    return names


def progress(text: str) -> None:
    """Print to stderr, so that stdout contains only the tables."""
    print(text, file=sys.stderr, flush=True)
