"""What are coverage and "not a digit" worth on pictures that people send, where nothing is promised?

    MNIST_DATA=mnist.npz python -m benchmarks.quality.trust models/mnist-dense/1 --images 2000

The prediction sets' promise is for pictures like MNIST's. Here it is held against the families of
`benchmarks.quality.pictures`: the share of pictures whose true digit is in the set, the mean size of the sets at 0.99,
and the false alarms: the share that is taken for no digit, with the refusals for having no ink.
Prints a Markdown table for each model.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.harness.report import header, table
from benchmarks.quality.pictures import Labels, Pictures, made, ours
from digits.classifier import Classifier
from digits.features import to_features
from training.errors import TrainingError
from training.trust.evaluation import coverage


def rows(classifier: Classifier, families: Mapping[str, tuple[Pictures, Labels]]) -> list[list[str]]:
    """A line a family."""
    calibration = classifier.manifest.calibration
    assert calibration is not None
    found = []
    for name, (pictures, labels) in families.items():
        pixels = np.stack([ours(picture) for picture in pictures])
        blank = pixels.max(axis=(1, 2)) == 0
        scores = classifier.scores(to_features(pixels))
        held = [
            level
            for level in coverage(calibration.prediction_sets, scores.probabilities, labels, None)
            if not level.per_class
        ]
        size = next((f"{level.size:.3f}" for level in held if level.level == 0.99), "")
        alarms = blank if scores.novelty is None else blank | (scores.novelty > 1)
        found.append([name, *(f"{level.covered:.4f}" for level in held), size, f"{alarms.mean():.4f}"])
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.trust", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="a version's folder")
    parser.add_argument("--images", type=int, default=2000, help="pictures a family (default: %(default)s)")
    parser.add_argument("--from", dest="part", choices=("validation", "test"), default="test")
    options = parser.parse_args()
    classifiers = [Classifier.load(folder) for folder in options.models]
    for folder, classifier in zip(options.models, classifiers, strict=True):
        if classifier.manifest.calibration is None:
            raise SystemExit(f"trust: {folder}: expected a version with a calibration, received one without")
    try:
        families = made(options.images, options.part)
    except TrainingError as exc:
        raise SystemExit(f"trust: {exc}") from None
    print(header(["numpy", "scipy", "pillow", "onnxruntime"]))
    for folder, classifier in zip(options.models, classifiers, strict=True):
        assert classifier.manifest.calibration is not None
        levels = [f"{level.coverage:g} held" for level in classifier.manifest.calibration.prediction_sets.levels]
        print(f"\n{folder}, MNIST's {options.part} digits\n")
        print(table(["pictures", *levels, "mean size at 0.99", "not a digit"], rows(classifier, families)))


if __name__ == "__main__":
    main()
