"""Answer an encoded picture as serving does. Only this module of the folder knows how `digits` opens a picture."""

import numpy as np
from PIL import Image

from digits.features import SIDE, Grey
from digits.model.classifier import Classifier
from digits.normalization.normalize import Normalized
from digits.normalization.prepare import normalize_picture
from digits.numbers.read import Number, read_number
from digits.pictures.decode import open_picture, to_grey


def as_picture(data: bytes) -> Image.Image:
    """Return the picture in the form that `digits` takes."""
    return open_picture(data)


def normalized(data: bytes) -> Normalized:
    """Bring a picture to MNIST form, as `/predict` does. Raises NoInk."""
    return normalize_picture(as_picture(data))


def number_on(classifier: Classifier, data: bytes) -> Number:
    """Read the number on a picture, as `/read` does. Raises NoInk and TooManyDigits."""
    return read_number(classifier, as_picture(data))


def only_resized(data: bytes) -> Grey:
    """Prepare a picture as most programs do: grey, and resized to 28x28 whatever is on it."""
    grey = Image.fromarray(to_grey(as_picture(data)))
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
