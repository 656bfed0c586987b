"""Say on standard error what runs and how far it is.

A terminal gets a line that is rewritten, and anything else gets a line every ten seconds.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

_TERMINAL_SECONDS = 0.5
_FILE_SECONDS = 10
_CLEAR = "\r\x1b[2K"

_T = TypeVar("_T")


class Progress:
    """Work that takes time."""

    def __init__(self, what: str, total: int | None, done: int) -> None:
        """Begin. The arguments are those of `progress`."""
        self._what, self._total = what, total
        self._done = self._before = done
        self._began = time.monotonic()

    def advance(self, count: int = 1) -> None:
        """Count what is done now."""
        self._done += count

    def text(self) -> str:
        """Return what runs, with the time that it takes, or the share that is done and the time left."""
        seconds = time.monotonic() - self._began
        if self._total is None:
            return f"{self._what}, {seconds:.0f} s"
        new = self._done - self._before
        left = f", {(self._total - self._done) * seconds / new:,.0f} s left" if new else ""
        return f"{self._what}, {100 * self._done / self._total:.0f} % done{left}"


_running: list[Progress] = []
"""The work that runs now, and the part of it that runs now. Each is a part of the one before it."""

_output = threading.Lock()


@contextmanager
def progress(what: str, total: int | None = None, done: int = 0) -> Iterator[Progress]:
    """Show the progress of what runs inside of the context.

    Args:
        what: names the work, such as "distorting pictures".
        total: how many parts it has. None if they cannot be counted.
        done: how many were done before.
    """
    work = Progress(what, total, done)
    with nullcontext() if _running else _shown():
        _running.append(work)
        try:
            yield work
        finally:
            _running.remove(work)


def track(parts: Iterable[_T], what: str, total: int) -> Iterator[_T]:
    """Yield the parts of some work, and show how many of `total` are done."""
    with progress(what, total) as work:
        for part in parts:
            yield part
            work.advance()


def printable(text: str) -> str:
    """Return a text with its control characters escaped, because a terminal obeys those in the name of a file."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def say(line: str) -> None:
    """Print a line on standard error. A terminal shows it above the progress."""
    with _output:
        print(f"{_CLEAR if sys.stderr.isatty() else ''}{printable(line)}", file=sys.stderr, flush=True)


@contextmanager
def _shown() -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(target=_show, args=(ended,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _show(ended: threading.Event) -> None:
    # A copy of the descriptor, because standard error is closed while TensorFlow is imported (training.backend).
    with os.fdopen(os.dup(2), "w") as stderr:
        is_terminal = stderr.isatty()
        while not ended.wait(_TERMINAL_SECONDS if is_terminal else _FILE_SECONDS):
            line = f"digits: {': '.join(work.text() for work in [*_running])}"
            if is_terminal:
                line = f"{_CLEAR}{line[: shutil.get_terminal_size().columns - 1]}"
            with _output:
                print(line, end="" if is_terminal else "\n", file=stderr, flush=True)
        if is_terminal:
            print(_CLEAR, end="", file=stderr, flush=True)
