"""How often is the digit on a picture named rightly, for each kind of picture that people send?

    MNIST_DATA=mnist.npz python -m benchmarks.quality.pictures models/mnist-dense/1 models/mnist-dense/2 --images 2000

Encoded bytes in, digit out, through the code that serving runs; beside it what most programs do, a plain resize to
28x28. Prints a Markdown table. Develop with --from validation; the test digits are for the final figures.
"""

import argparse
import os
import platform
import time
import zlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import PIL
import scipy
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest
from sklearn.datasets import load_digits

from benchmarks.quality.families import FAMILIES, encoded, family
from digits.classifier import Classifier
from digits.errors import NoInk
from digits.features import SIDE, Grey, to_features
from digits.images import open_picture, to_grey
from digits.normalize import normalize
from training.data import load
from training.errors import TrainingError

OTHERS = "scikit-learn's 8x8"
VALIDATION = 10_000
"""The last of MNIST's training images stand in for its test images while developing."""

Pictures = Sequence[bytes]
Labels = NDArray[np.int64]


def naive(data: bytes) -> Grey:
    """What most programs do: grey, resized to 28x28, whatever is on it."""
    return np.asarray(Image.fromarray(to_grey(open_picture(data))).resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def ours(data: bytes) -> Grey:
    """What serving does. A picture on which no ink is found counts as wrong: it becomes an empty field."""
    try:
        return normalize(to_grey(open_picture(data))).pixels.astype(np.uint8)
    except NoInk:
        return np.zeros((SIDE, SIDE), dtype=np.uint8)


def prepared(pictures: Pictures, prepare: Callable[[bytes], Grey]) -> tuple[Grey, float]:
    """28x28 pixels of every picture, and the milliseconds that each took."""
    start = time.perf_counter()
    pixels = np.stack([prepare(picture) for picture in pictures])
    return pixels, 1000 * (time.perf_counter() - start) / len(pictures)


def made(images: int, part: str) -> dict[str, tuple[Pictures, Labels]]:
    """Every family's pictures and answers; a seed of its own for each, so that one more changes no other."""
    mnist = load(os.environ.get("MNIST_DATA"))
    if part == "test":
        digits, labels = mnist.x_test, mnist.y_test
    else:
        digits, labels = mnist.x_train[-VALIDATION:], mnist.y_train[-VALIDATION:]
    # Evenly spread: MNIST's test images are in order of their writers, and the first half is harder than the whole.
    chosen = np.linspace(0, len(labels) - 1, min(images, len(labels))).astype(int)
    digits, answers = digits[chosen], labels[chosen].astype(np.int64)
    pictures = {
        name: (family(name, digits, np.random.default_rng(zlib.crc32(name.encode()))), answers) for name in FAMILIES
    }
    others = load_digits()
    scans = [encoded(image * (255 / 16)) for image in others.images[:images]]
    return {**pictures, OTHERS: (scans, others.target[:images])}


def percent(right: NDArray[np.bool_]) -> str:
    """Accuracy with its 95 % Wilson interval."""
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return f"{right.mean():.4f} ({interval.low:.3f}-{interval.high:.3f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.pictures", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="a version's folder")
    parser.add_argument("--images", type=int, default=2000, help="pictures a family (default: %(default)s)")
    parser.add_argument("--from", dest="part", choices=("validation", "test"), default="validation")
    options = parser.parse_args()
    classifiers = [Classifier.load(folder) for folder in options.models]
    try:
        families = made(options.images, options.part)
    except TrainingError as exc:
        raise SystemExit(f"pictures: {exc}") from None
    print(f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores, Python", end=" ")
    print(f"{platform.python_version()}, NumPy {np.__version__}, SciPy {scipy.__version__}, Pillow {PIL.__version__};")
    print(f"MNIST's {options.part} digits; accuracy (95 % Wilson interval)\n")
    names = [f"{folder.parent.name}/{folder.name}" for folder in options.models]
    heads = ["family", "pictures", *(f"{name}, {how}" for name in names for how in ("naive", "ours")), "ms a picture"]
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name, (pictures, labels) in families.items():
        plain, (pixels, milliseconds) = prepared(pictures, naive)[0], prepared(pictures, ours)
        cells = [
            percent(classifier.probabilities(to_features(way)).argmax(axis=1) == labels)
            for classifier in classifiers
            for way in (plain, pixels)
        ]
        print(f"| {' | '.join([name, str(len(labels)), *cells, f'{milliseconds:.1f}'])} |", flush=True)


if __name__ == "__main__":
    main()
