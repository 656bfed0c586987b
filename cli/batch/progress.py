"""Show how far a run is: a bar on a terminal, and a line every ten seconds elsewhere."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cli.printable import printable

_SECONDS = 10  # between two lines, where there is no terminal
_SHOWN_FAILURES = 20  # pictures without an answer that standard error names


@dataclass(slots=True)
class Shown:
    _bar: Progress
    _last_line: float
    _failures: int = 0

    def advance(self, pictures: int, failures: Sequence[str]) -> None:
        """Count pictures as done, and print the first lines about those without an answer."""
        for line in failures:
            self._failures += 1
            if self._failures <= _SHOWN_FAILURES:
                self._say(line)
            elif self._failures == _SHOWN_FAILURES + 1:
                self._say("digits: further errors are only in the output's column `error`")
        task = self._bar.tasks[0]
        self._bar.update(task.id, advance=pictures, description=f"{task.speed or 0:,.0f} pictures/s")
        if not self._bar.console.is_terminal and time.monotonic() - self._last_line >= _SECONDS:
            self._last_line = time.monotonic()
            left = "" if task.time_remaining is None else f", {task.time_remaining:,.0f} s left"
            self._say(f"digits: {task.completed:,.0f} of {task.total:,} pictures, {task.description}{left}")

    def _say(self, line: str) -> None:
        """Print a line on standard error. A terminal shows it above the bar."""
        self._bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def shown(pictures: int, done: int) -> Iterator[Shown]:
    """Show the progress of what runs inside of the context. `done` pictures were done before."""
    console = Console(stderr=True)
    speed = TextColumn("{task.description}")
    columns = BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), speed, TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        bar.add_task("", total=pictures, completed=done)
        yield Shown(bar, time.monotonic())
