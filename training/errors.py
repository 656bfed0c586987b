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
    """A class would be missing from one part of the training images."""


class UnsuitableRecipe(TrainingError):
    """The recipe does not suit the data."""


class NothingToResume(TrainingError):
    """There is no usable state of this training run."""


class OutputInUse(TrainingError):
    """Another training run writes to the same output."""


class NotPublished(TrainingError):
    """The network is not better than chance, or worse than the version that it would replace."""


class Interrupted(TrainingError):
    """The user stopped the training with Ctrl-C."""


class UnfairAssessment(TrainingError):
    """The network may have been trained on the images that it would be assessed on."""


class UnsuitableNetwork(TrainingError):
    """A file is not a Keras file, or its network does not map (None, 784) to the probabilities of the classes."""


class ParityError(TrainingError):
    """The exported network computes something other than the trained network does."""


class CannotWrite(TrainingError):
    """The file system refused, or an existing file must not be replaced."""
