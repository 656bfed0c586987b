"""Imitate pictures that were normalized: distorted copies of digits, on which their trust is calibrated."""

from dataclasses import replace

from digits.features import Grey
from training.data.images import Labels
from training.network.recipes import Robust
from training.robust.augmentation import distort, enlarge

_NUMBER = 1000
"""No copy that a network is trained with has this number, so that none of them has the same random numbers."""


def imitations(images: Grey, labels: Labels, seed: int = 0, *, has_digits: bool = True) -> Grey:
    """Return a copy of each digit that is distorted as strongly as those which the robust recipe trains with.

    The recipe leaves the strokes of some pictures as they are. Here every picture gets all kinds of distortions, so
    that the copies are harder to read than most pictures that people send. The promises then hold there too. There are
    no crops among them.

    Images and copies are uint8 (N, 28, 28) in MNIST form, labels uint8 (N,). Some digits are drawn in other styles.
    """
    distortions = replace(Robust("robust").distortions, plain=0)
    if not has_digits:
        distortions = distortions.without_styles()
    return distort(enlarge(images), labels, distortions, [seed, _NUMBER])
