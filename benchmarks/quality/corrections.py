"""How many errors do corrections remove, on other digits by the same hands and on MNIST's test digits?

    MNIST_DATA=mnist.npz python -m benchmarks.quality.corrections models/mnist-dense/7 --count 100

The hands are those of scikit-learn's 8x8 digits. In each of three draws, `--count` of them are corrections, and the
others are measured, before and after learning as `digits train --corrections` does.
"""

import os
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, table
from benchmarks.quality.families import encoded
from digits.features import Grey
from digits.model.classifier import Classifier
from digits.model.predictions import judge
from digits.picture import Picture
from training.data.corrections import Corrections
from training.data.images import load, split_training_images
from training.fit.fine_tuning import FineTuning, misread
from training.publish.export import read_network

DRAWS = 3


def as_served(classifier: Classifier, data: bytes) -> Grey:
    """Return a picture as the network sees it, uint8 (28, 28)."""
    picture = Picture(data)
    judged = judge(classifier, [picture.prepare("auto")], lambda _index: picture.look_again())
    return judged.seen[0].normalized.pixels


def main() -> None:
    """Print a row for each draw."""
    arguments = parser(__doc__)
    arguments.add_argument("version", type=Path, help="folder of a version of digits that was trained on MNIST")
    arguments.add_argument("--count", type=int, default=100, help="number of corrections (default: %(default)s)")
    options = arguments.parse_args()
    classifier, network = Classifier.load(options.version), read_network(options.version / "model.keras")
    mnist, hands = load(os.environ.get("MNIST_DATA")), load_digits()
    progress("preparing the digits")
    pixels = np.array([as_served(classifier, encoded(image * (255 / 16))) for image in hands.images])
    labels = hands.target.astype(np.uint8)
    tuning = FineTuning.of(network, split_training_images(mnist, validation_split=1 / 12), seed=0)
    rows = []
    for draw in range(DRAWS):
        progress(f"draw {draw}")
        order = np.random.default_rng(draw).permutation(len(labels))
        chosen, others = order[: options.count], order[options.count :]
        tuned = tuning.on(Corrections(pixels[chosen], labels[chosen], np.arange(options.count)))
        parts = ((pixels[others], labels[others]), (mnist.x_test, mnist.y_test))
        errors = [misread(each, *part).mean() for part in parts for each in (network, tuned)]
        rows.append([str(draw), *(f"{share:.4f}" for share in errors)])
    print(header(("keras", "numpy")))
    print(table(["draw", "errors before", "after", "on MNIST before", "after"], rows))


if __name__ == "__main__":
    main()
