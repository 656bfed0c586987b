"""Show what runs and how far it is: bars on a terminal, and a line every ten seconds elsewhere."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn, TimeElapsedColumn

_SECONDS = 10

_T = TypeVar("_T")

_bars = Progress(
    *(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()),
    console=Console(stderr=True),
    transient=True,
)
"""A task for the work that runs now, and one for the part of it that runs now."""


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show the progress of what runs inside of the context, which gets a function that counts a part as done.

    Args:
        what: names the work, such as "distorting digits".
        total: how many parts it has. None if they cannot be counted.
    """
    is_outermost = not _bars.tasks
    task = _bars.add_task(what, total=total)
    shown = (_bars if _bars.console.is_terminal else _lines()) if is_outermost else nullcontext()
    with shown:
        try:
            yield partial(_bars.advance, task)
        finally:
            _bars.remove_task(task)


def track(parts: Iterable[_T], what: str, total: int) -> Iterator[_T]:
    """Yield the parts of some work, and show how many of `total` are done."""
    with progress(what, total) as advance:
        for part in parts:
            yield part
            advance()


@contextmanager
def _lines() -> Iterator[None]:
    ended = threading.Event()

    def show() -> None:
        while not ended.wait(_SECONDS):
            print(f"digits: {': '.join(map(_text, _bars.tasks))}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _text(task: Task) -> str:
    if task.total is None:
        return f"{task.description}, {task.elapsed:.0f} s"
    left = "" if task.time_remaining is None else f", {task.time_remaining:.0f} s left"
    return f"{task.description}, {task.percentage:.0f} % done{left}"
