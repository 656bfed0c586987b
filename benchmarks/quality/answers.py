"""Answer an encoded picture as serving does."""

import numpy as np
from PIL import Image

from digits.features import SIDE, Grey
from digits.model.classifier import Classifier
from digits.normalization.normalize import Normalized
from digits.numbers.read import Number, read_number
from digits.picture import Picture


def normalized(data: bytes) -> Normalized:
    """Bring a picture to MNIST form, as `/predict` does. Raises NoInk."""
    return Picture(data).prepare("auto")


def number_on(classifier: Classifier, data: bytes) -> Number:
    """Read the number on a picture, as `/read` does. Raises NoInk and TooManyDigits."""
    return read_number(classifier, Picture(data))


def only_resized(data: bytes) -> Grey:
    """Prepare a picture as most programs do: grey, and resized to 28x28 whatever is on it."""
    grey = Image.fromarray(Picture(data).grey())
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
