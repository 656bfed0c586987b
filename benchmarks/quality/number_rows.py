"""How many numbers of a folder does a person have to check, and how many of the others are wrong?

    MNIST_DATA=mnist.npz python -m benchmarks.quality.number_rows models/mnist-dense/2 --pictures 140 --from test

A row of `digits read --output` is accepted by the rule of `docs/how-to/score-a-folder.md`: there is no error, and
`ambiguous_count`, `non_digit_count` and `left_out` are 0. The table has, for each of the PLAIN kinds of pictures, the
share of rows whose whole text is right, the share of accepted rows, and the share of these that is right. Develop with
`--from validation`. The test digits are for final figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, table
from benchmarks.quality.mnist_digits import add_part, load_part
from benchmarks.quality.number_pictures import PLAIN, NumberPicture, numbers
from benchmarks.quality.numbers import rng_of
from cli.batch.tasks import Read
from digits.errors import NoInk, TooManyDigits
from digits.model.classifier import Classifier
from digits.pictures.decode import open_picture


@dataclass(frozen=True, slots=True)
class Result:
    """The result for one picture."""

    is_accepted: bool
    is_right: bool


def result(classifier: Classifier, picture: NumberPicture) -> Result:
    """Read one picture."""
    task = Read()
    try:
        (row,) = task.rows(classifier, [task.prepare(classifier, open_picture(picture.data))])
    except (NoInk, TooManyDigits):
        return Result(is_accepted=False, is_right=False)
    is_accepted = row["ambiguous_count"] == row["non_digit_count"] == row["left_out"] == 0
    return Result(is_accepted, row["text"] == picture.text)


def cells(name: str, results: Sequence[Result]) -> list[str]:
    """Return a row of the table."""
    accepted = [each.is_right for each in results if each.is_accepted]
    interval = binomtest(sum(accepted), len(accepted)).proportion_ci(method="wilson")
    right = f"{np.mean(accepted):.3f} ({interval.low:.3f}-{interval.high:.3f})"
    all_right = float(np.mean([each.is_right for each in results]))
    return [name, str(len(results)), f"{all_right:.3f}", f"{len(accepted) / len(results):.3f}", right]


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("model", type=Path, metavar="MODEL", help="folder of a version")
    arguments.add_argument("--pictures", type=int, default=140, help="pictures of each kind (default: %(default)s)")
    add_part(arguments)
    options = arguments.parse_args()
    classifier = Classifier.load(options.model)
    digits, labels = load_part(options.part)
    rows, everything = [], []
    for name in PLAIN:
        progress(name)
        pictures = numbers(name, digits, labels, options.pictures, rng_of(name))
        results = [result(classifier, picture) for picture in pictures]
        everything += results
        rows.append(cells(name, results))
    print(header(["numpy", "opencv-python-headless", "pillow", "onnxruntime"]))
    print(f"\nMNIST's {options.part} digits; whole texts with their 95 % Wilson interval.\n")
    heads = ["kind", "pictures", "right", "accepted", "right, of the accepted"]
    print(table(heads, [*rows, cells("all", everything)]))


if __name__ == "__main__":
    main()
