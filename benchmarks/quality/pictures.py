"""How often are the pictures that people send recognized, and how well do prediction sets and "not a digit" hold?

    MNIST_DATA=mnist.npz python -m benchmarks.quality.pictures models/mnist-dense/8 --images 2000 --from test

The first table is the accuracy on every family of `families.py` and `papers.py`, and on every style of
`drawn_styles.py`, through the code that serves, beside what most programs do: a plain resize to 28x28. A second table,
for each model with a calibration, has the share of prediction sets that contain the true digit, their mean size, and
the false alarms: pictures taken for no digit, or refused for lack of ink. A refused picture gets no set, so it counts
among the false alarms only. The sets have the thresholds that serving chooses for each picture. The last two columns
are the share of pictures whose answer has `accept`, and the share of these that is right. A third table has both errors
of refusing side by side: digits that are refused, and pictures without a digit (of `without_digit.py`) that are not, or
are accepted. Another table has the answers of `/predict` and `/read` to the same pictures, after all looks at them,
with the share of pictures that are accepted and wrong. Develop with `--from validation`, on which the sets may have
been calibrated. The test digits are for final figures.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.harness.command import parser, progress
from benchmarks.harness.report import header, share_with_interval, table
from benchmarks.quality.drawn_styles import DRAWN, drawings
from benchmarks.quality.families import FAMILIES, encoded, rng_of
from benchmarks.quality.marks import MARKED, STEMMED
from benchmarks.quality.mnist_digits import add_part, load_part
from benchmarks.quality.numbers import read
from benchmarks.quality.papers import ON_PAPER
from benchmarks.quality.without_digit import all_without_digit
from digits.errors import NoInk
from digits.features import SIDE, Floats, Grey, to_features
from digits.model.classifier import Classifier
from digits.model.predictions import predict
from digits.normalization.mnist_form import are_normalized
from digits.normalization.normalize import Normalized
from digits.picture import Picture

SCANS = "scikit-learn's 8x8"
ANSWERED = 300
"""Maximum number of pictures of each family that `/predict` and `/read` are compared on."""
WITHOUT_DIGIT = 500
"""Number of pictures without a digit."""
SIZE_LEVEL = 0.99
"""Coverage for which the table has the mean size of the sets."""

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The pictures of a family as features, with their true digits."""

    labels: Labels
    naive: Floats
    ours: Floats
    normalized: NDArray[np.bool_]
    """(N,). Whether the picture was normalized. Otherwise it came in MNIST form."""
    pictures: Sequence[Normalized]
    encoded: Sequence[bytes]
    blank: NDArray[np.bool_]
    """(N,). Whether no ink was found. The features are then zeros, which counts as a wrong answer."""
    milliseconds: float
    """Time that our preparation took per picture."""


def ours(data: bytes) -> Normalized:
    """Prepare a picture as serving does. Without ink, all pixels are 0."""
    try:
        return Picture(data).prepare("auto")
    except NoInk:
        return Normalized(np.zeros((SIDE, SIDE), dtype=np.uint8), ())


def only_resized(data: bytes) -> Grey:
    """Prepare a picture as most programs do: grey, and resized to 28x28 whatever is on it."""
    grey = Image.fromarray(Picture(data).grey())
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def prepare(pictures: Sequence[bytes], labels: Labels) -> Prepared:
    """Turn encoded pictures into features."""
    began = time.perf_counter()
    prepared = [ours(picture) for picture in pictures]
    milliseconds = 1000 * (time.perf_counter() - began) / len(pictures)
    pixels = np.stack([each.pixels for each in prepared])
    return Prepared(
        labels=labels,
        naive=to_features(np.stack([only_resized(picture) for picture in pictures])),
        ours=to_features(pixels),
        normalized=are_normalized([each.steps for each in prepared]),
        pictures=prepared,
        encoded=pictures,
        blank=pixels.max(axis=(1, 2)) == 0,
        milliseconds=milliseconds,
    )


def prepared_families(images: int, part: str, only: str) -> dict[str, Prepared]:
    """Make and prepare the families. A family is left out if its name does not contain `only`."""
    digits, labels = load_part(part)
    # Spread evenly: MNIST's test images are ordered by writer, and the first half is harder than the whole.
    chosen = np.linspace(0, len(labels) - 1, min(images, len(labels))).astype(int)
    families = {}
    made = FAMILIES | ON_PAPER | MARKED
    stemmed = np.flatnonzero(np.isin(labels, STEMMED))
    stemmed = stemmed[np.linspace(0, len(stemmed) - 1, min(images, len(stemmed))).astype(int)]
    for name in (name for name in [*made, *DRAWN] if only in name):
        progress(name)
        rng = rng_of(name)
        if name in made:
            own = stemmed if name == "long stems" else chosen
            families[name] = prepare([made[name](digit, rng) for digit in digits[own]], labels[own].astype(np.int64))
        else:
            families[name] = prepare(drawings(name, images, rng), np.full(images, int(name[0])))
    if only not in SCANS:
        return families
    scans = load_digits()
    pictures = [encoded(image * (255 / 16)) for image in scans.images[:images]]
    return {**families, SCANS: prepare(pictures, scans.target[:images])}


def prepared_surfaces(count: int) -> dict[str, Prepared]:
    """Make and prepare `count` pictures without a digit. The labels are -1."""
    progress("without a digit")
    return {name: prepare(made, np.full(len(made), -1)) for name, made in all_without_digit(count).items()}


def trust_table(classifier: Classifier, families: dict[str, Prepared]) -> str:
    """Return the table of coverage and false alarms, or a sentence where the model has no calibration."""
    levels = [coverage for coverage, per_class in sorted(classifier.thresholds) if not per_class]
    if not levels:
        return "This model has no calibration."
    rows = []
    for name, prepared in families.items():
        answered = ~prepared.blank
        probabilities, labels = classifier.probabilities(prepared.ours[answered]), prepared.labels[answered]
        members = {
            level: probabilities >= classifier.thresholds[level, False].of_pictures(prepared.normalized[answered])
            for level in levels
        }
        covered = [members[level][np.arange(len(labels)), labels].mean() for level in levels]
        size = f"{members[SIZE_LEVEL].sum(axis=1).mean():.3f}" if SIZE_LEVEL in members else ""
        alarms = refused(classifier, prepared).mean()
        chosen = accepted(classifier, prepared)
        right = classifier.probabilities(prepared.ours[chosen]).argmax(axis=1) == prepared.labels[chosen]
        accepts = [f"{chosen.mean():.4f}", share_with_interval(right, 4)]
        rows.append([name, *(f"{share:.4f}" for share in covered), size, f"{alarms:.4f}", *accepts])
    promised = [f"covered at {level:g}" for level in levels]
    last = (f"mean size at {SIZE_LEVEL}", "not a digit", "accepted", "right, of the accepted")
    return table(["family", *promised, *last], rows)


def answers_table(classifier: Classifier, families: dict[str, Prepared]) -> str:
    """Return the table of the answers of `/predict` and `/read` to the same pictures."""
    rows = []
    for name, prepared in families.items():
        progress(f"{name}, /predict and /read")
        pictures = [Picture(data) for data in prepared.encoded[:ANSWERED]]
        cells = []
        for ask in (_predicted, read):
            texts, accepts, *_ = zip(*(ask(classifier, picture) for picture in pictures), strict=True)
            right = [text == str(label) for text, label in zip(texts, prepared.labels, strict=False)]
            wrong = np.array(accepts) & ~np.array(right)
            cells += [share_with_interval(right), f"{np.mean(accepts):.3f}", f"{wrong.mean():.4f}"]
        rows.append([name, str(len(pictures)), *cells])
    columns = [
        f"{path}: {column}" for path in ("predict", "read") for column in ("right", "accepted", "accepted, wrong")
    ]
    return table(["family", "pictures", *columns], rows)


def _predicted(classifier: Classifier, picture: Picture) -> tuple[str, bool]:
    try:
        (record,) = predict(classifier, [picture.prepare("auto")], lambda _index: picture.look_again())
    except NoInk:
        return "", False
    return str(record["digit"]), record.get("accept", False)


def accepted(classifier: Classifier, prepared: Prepared) -> NDArray[np.bool_]:
    """Return whether the answer to each picture has `accept`. A picture without ink has no answer."""
    records = predict(classifier, prepared.pictures)
    return np.array([record.get("accept", False) for record in records]) & ~prepared.blank


def refused(classifier: Classifier, prepared: Prepared) -> NDArray[np.bool_]:
    """Return whether each picture has no ink or is no digit: the reply is an error, or `is_digit` is false."""
    novelty = classifier.scores(prepared.ours).novelty
    return prepared.blank if novelty is None else prepared.blank | (novelty > 1)


def refusal_table(classifier: Classifier, families: dict[str, Prepared], surfaces: dict[str, Prepared]) -> str:
    """Return the table of digits that are refused, and of pictures without a digit that are refused or accepted."""
    groups = {"digits of all families": list(families.values())}
    groups |= {f"without a digit: {name}": [surface] for name, surface in surfaces.items()}
    groups["without a digit, all"] = list(surfaces.values())
    rows = []
    for name, parts in groups.items():
        blank = np.concatenate([part.blank for part in parts])
        no_digit = np.concatenate([refused(classifier, part) for part in parts])
        chosen = np.concatenate([accepted(classifier, part) for part in parts])
        rows.append([name, str(len(blank)), *(f"{each.mean():.4f}" for each in (blank, no_digit, chosen))])
    return table(["pictures", "number", "no ink", "no ink or no digit", "accepted"], rows)


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    arguments.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="folder of a version")
    arguments.add_argument("--images", type=int, default=2000, help="pictures of each family (default: %(default)s)")
    arguments.add_argument("--only", default="", metavar="TEXT", help="only the families whose names contain this")
    add_part(arguments)
    options = arguments.parse_args()
    classifiers = {f"{folder.parent.name}/{folder.name}": Classifier.load(folder) for folder in options.models}
    families = prepared_families(options.images, options.part, options.only)
    surfaces = prepared_surfaces(WITHOUT_DIGIT)
    print(header(["numpy", "opencv-python-headless", "pillow", "onnxruntime"]))
    print(f"\nMNIST's {options.part} digits; accuracy with its 95 % Wilson interval.\n")
    rows = []
    for name, prepared in families.items():
        cells = [
            share_with_interval(classifier.probabilities(features).argmax(axis=1) == prepared.labels, 4)
            for classifier in classifiers.values()
            for features in (prepared.naive, prepared.ours)
        ]
        rows.append([name, str(len(prepared.labels)), *cells, f"{prepared.milliseconds:.1f}"])
    ways = [f"{name}, {way}" for name in classifiers for way in ("naive", "ours")]
    print(table(["family", "pictures", *ways, "ms a picture"], rows))
    for name, classifier in classifiers.items():
        print(f"\n{name}\n\n{trust_table(classifier, families)}")
        print(f"\n{answers_table(classifier, families)}")
        print(f"\n{refusal_table(classifier, families, surfaces)}")


if __name__ == "__main__":
    main()
