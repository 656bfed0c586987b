"""What every speed benchmark prints: on what it ran, then a Markdown table of medians with their spread."""

import importlib.metadata
import os
import platform
import shlex
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path


def header(packages: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """The lines above the table: date and machine, versions, the command.

    Args:
        packages: of this environment.
        others: versions from elsewhere, by name.
    """
    machine = [f"{datetime.now(UTC):%Y-%m-%d}", _processor(), f"{os.cpu_count()} cores"]
    system = [f"{platform.system()} {platform.release()}", f"Python {platform.python_version()}"]
    versions = {name: importlib.metadata.version(name) for name in packages} | dict(others or {})
    command = shlex.join(["python", *sys.orig_argv[1:]])
    return "\n\n".join(
        [
            ", ".join([*machine, *system]),
            ", ".join(f"{name} {version}" for name, version in versions.items()),
            f"`{command}`",
        ]
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; the first column is text, the others are figures."""
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """The median, and the least and the greatest: `1,915 (1,872-1,930)`."""
    median, least, most = (f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{median} ({least}-{most})"


def _processor() -> str:
    """The processor's name where Linux tells it, else the architecture."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
