"""The command line that all benchmarks share."""

import argparse
import signal
import sys
from collections.abc import Collection


def parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser that is named after the running module, and let SIGTERM stop the servers that it has started.

    The first line of the module's docstring is the question that the benchmark answers.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # SystemExit leaves the `with` blocks that stop servers
    spec = sys.modules["__main__"].__spec__
    name = spec.name.removesuffix(".__main__") if spec else "benchmark"
    return argparse.ArgumentParser(prog=f"python -m {name}", description=doc.splitlines()[0])


def chosen(parser: argparse.ArgumentParser, option: str, text: str, known: Collection[str]) -> list[str]:
    """Split the comma-separated value of an option. An unknown name ends the program with a message."""
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        parser.error(f"{option}: expected names from {', '.join(known)}, received {unknown[0]}")
    return names


def progress(text: str) -> None:
    """Print to stderr, so that stdout contains only the tables."""
    print(text, file=sys.stderr, flush=True)
