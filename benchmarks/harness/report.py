"""The parts of every report: the machine, the versions, the command, Markdown tables and their figures."""

import importlib.metadata
import math
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest


def header(packages: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """Return the lines above the tables: date and machine, versions, command.

    Args:
        packages: installed packages whose versions are printed.
        others: versions of other programs, by name.
    """
    machine = [f"{datetime.now(UTC):%Y-%m-%d}", _processor(), f"{os.cpu_count()} cores"]
    system = [f"{platform.system()} {platform.release()}", f"Python {platform.python_version()}"]
    versions = {name: importlib.metadata.version(name) for name in packages} | dict(others or {})
    lines = [", ".join([*machine, *system]), ", ".join(f"{name} {version}" for name, version in versions.items())]
    return "\n\n".join([*filter(None, lines), f"`{shlex.join(['python', *sys.orig_argv[1:]])}`"])


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its first column aligned to the left and the others to the right."""
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def ratios(values: Sequence[float], bases: Sequence[float]) -> list[float]:
    """Divide each round's value by the base of the same round. A ratio to 0 is infinite."""
    return [value / base if base else math.inf for value, base in zip(values, bases, strict=True)]


def median(values: Sequence[float], digits: int = 0) -> str:
    """Format the median."""
    return f"{statistics.median(values):,.{digits}f}"


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Format the median with the least and the greatest value: `1,915 (1,872-1,930)`."""
    return f"{median(values, digits)} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def share_with_interval(right: Sequence[bool] | NDArray[np.bool_], digits: int = 3) -> str:
    """Format a share with its 95 % Wilson interval, or nothing without a case."""
    if not len(right):
        return ""
    interval = binomtest(int(np.sum(right)), len(right)).proportion_ci(method="wilson")
    return f"{np.mean(right):.{digits}f} ({interval.low:.3f}-{interval.high:.3f})"


def _processor() -> str:
    """Return the processor's name if Linux reports one, else the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
