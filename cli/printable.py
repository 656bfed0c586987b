"""Text of other people on a terminal."""

import sys


def printable(text: str) -> str:
    """Return a text with its control characters escaped, because a terminal obeys those in the name of a file."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
