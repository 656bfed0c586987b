"""Imitate pictures that were normalized: distorted copies of digits, on which their trust is calibrated."""

from digits.features import Grey
from training.data import Labels
from training.recipes import Robust
from training.robust.augmentation import distort, enlarge

_SEED = 1000
"""No copy for the training of a network has this number, so that no copy repeats."""


def imitations(images: Grey, labels: Labels) -> Grey:
    """Return a copy of each digit that is distorted as strongly as those which the robust recipe trains with.

    These copies are a little harder to read than most pictures that people send, so that the promises hold there too.

    Args:
        images: uint8 (N, 28, 28) in MNIST form.
        labels: uint8 (N,).

    Returns:
        uint8 (N, 28, 28).
    """
    return distort(enlarge(images), labels, Robust("robust").distortions, [_SEED])
