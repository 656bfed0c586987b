"""The errors of training. Every message is one line that says what was expected and what was received."""


class TrainingError(Exception):
    """The base class."""


class DataNotFound(TrainingError):
    """There are no data in the given place. The message names the place and an alternative."""


class InvalidData(TrainingError):
    """The data cannot be read or are not in MNIST's form."""


class UnknownData(TrainingError):
    """The data have MNIST's form but are not MNIST, and other data were not allowed."""


class SplitTooSmall(TrainingError):
    """A digit would be missing from one part of the training images."""


class NothingToResume(TrainingError):
    """There is no usable state of this training run."""


class Interrupted(TrainingError):
    """The user stopped the training with Ctrl-C."""


class UnfairAssessment(TrainingError):
    """The network may have been trained on the images that it would be assessed on."""


class UnsuitableNetwork(TrainingError):
    """A file is not a Keras file, or its network does not map (None, 784) to ten probabilities."""


class ParityError(TrainingError):
    """The exported network computes something other than the trained network does."""


class CannotWrite(TrainingError):
    """The file system refused, or an existing file must not be replaced."""
