"""What can go wrong while training, by name.

Every message is one line that says what was expected and what came.
"""


class TrainingError(Exception):
    """The root of everything that training raises on purpose."""


class DataNotFound(TrainingError):
    """No data where it was looked for; the message says where that was, and what to do."""


class InvalidData(TrainingError):
    """What was read is not in MNIST's form, or cannot be read."""


class UnknownData(TrainingError):
    """MNIST's form but not MNIST's content, and other data was not asked for."""


class SplitTooSmall(TrainingError):
    """A class would be missing from one of the parts."""


class NothingToResume(TrainingError):
    """No usable state of just this training."""


class UnfairAssessment(TrainingError):
    """The network may have been trained on the very images it would be assessed on."""


class UnsuitableNetwork(TrainingError):
    """A Keras file that is none, or whose network is not (None, 784) to ten probabilities."""


class ParityError(TrainingError):
    """What was made does not compute what it should."""


class CannotWrite(TrainingError):
    """The file system refused, or something is there that must stay."""
