"""Progress on standard error: a bar in a terminal, else a line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LINE_SECONDS = 10

Advance = Callable[[int], None]
"""Counts pictures that are done."""


@contextmanager
def progress(total: int, done: int) -> Iterator[Advance]:
    """Show how many of `total` pictures are done, the rate and the time left."""
    if not sys.stderr.isatty():
        yield _lines(total, done)
        return
    # Rich takes a tenth of a second to import.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    # Standard output and error stay as they are. The bar moves down when a line is printed.
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as bar:
        task = bar.add_task("", total=total, completed=done, rate="")

        def advance(pictures: int) -> None:
            bar.update(task, advance=pictures)
            if speed := bar.tasks[task].speed:
                bar.update(task, rate=f"{speed:,.0f} pictures/s, time left:")

        yield advance


def _lines(total: int, done: int) -> Advance:
    began = printed = time.monotonic()
    before = done

    def advance(pictures: int) -> None:
        nonlocal done, printed
        done += pictures
        now = time.monotonic()
        if now - printed < _LINE_SECONDS:
            return
        printed = now
        rate = (done - before) / (now - began)
        left = f"{(total - done) / rate:,.0f} s left"
        print(f"digits: {done:,} of {total:,} pictures, {rate:,.0f} pictures/s, {left}", file=sys.stderr, flush=True)

    return advance
