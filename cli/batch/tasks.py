"""What a run does with each picture: recognize one digit, or read a number. A run has one of these tasks."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from PIL import Image

from digits.model.classifier import Classifier
from digits.model.predictions import Prediction, predict
from digits.normalization.mnist_form import Mode
from digits.normalization.normalize import Normalized
from digits.normalization.prepare import prepare_picture
from digits.numbers.read import Number, ambiguous_count, non_digit_count, read_number

Row = dict[str, Any]
"""Values in JSON types by column."""


_NOT_IN_ROWS = frozenset(("probabilities", "coverage", "preprocessing", "model", "line", "box", "pixels", "saliency"))
"""The fields of a prediction that are long, the same in every row, or only in replies."""


class Task(ABC):
    """The part of a run that differs between the commands. Tasks are pickled for the processes of a run."""

    command: ClassVar[str]

    @abstractmethod
    def options(self) -> dict[str, str]:
        """Return the options that determine the rows. A run resumes only with the same ones."""

    @abstractmethod
    def columns(self, classifier: Classifier) -> tuple[str, ...]:
        """Return the names of a row's columns, from `path` to `error`.

        Raises:
            OtherClasses: the model cannot do this task.
        """

    @abstractmethod
    def prepare(self, classifier: Classifier, picture: Image.Image) -> Any:
        """Do what can be done for one picture alone. `picture` is from `open_picture`. Raises DigitsError."""

    @abstractmethod
    def rows(self, classifier: Classifier, prepared: Sequence[Any]) -> list[Row]:
        """Return the rows of some prepared pictures, without `path`. Columns that are left out are empty."""


@dataclass(frozen=True, slots=True)
class Predict(Task):
    """Recognize the digit, or the class, that each picture shows."""

    command: ClassVar[str] = "digits predict"
    normalize: Mode

    def options(self) -> dict[str, str]:
        """See `Task`."""
        return {"--normalize": self.normalize}

    def columns(self, classifier: Classifier) -> tuple[str, ...]:
        """Return the columns: most fields of a prediction. Only a model of other classes has `class_name`."""
        absent = _NOT_IN_ROWS if classifier.class_names is not None else {*_NOT_IN_ROWS, "class_name"}
        return "path", *(name for name in Prediction.__annotations__ if name not in absent), "error"

    def prepare(self, classifier: Classifier, picture: Image.Image) -> Normalized:
        """See `Task`."""
        return prepare_picture(picture, classifier.preparation(self.normalize))

    def rows(self, classifier: Classifier, prepared: Sequence[Normalized]) -> list[Row]:
        """Classify all pictures in one forward pass."""
        columns = set(self.columns(classifier))
        return [
            {name: value for name, value in prediction.items() if name in columns}
            for prediction in predict(classifier, prepared)
        ]


class Read(Task):
    """Read all digits on each picture."""

    command: ClassVar[str] = "digits read"

    def options(self) -> dict[str, str]:
        """See `Task`."""
        return {}

    def columns(self, classifier: Classifier) -> tuple[str, ...]:
        """See `Task`."""
        classifier.require_digits()
        counts = ("digit_count", "least_probability", "ambiguous_count", "non_digit_count", "left_out")
        return "path", "text", *counts, "error"

    def prepare(self, classifier: Classifier, picture: Image.Image) -> Number:
        """Read one picture. Its candidates are many enough for a forward pass of their own."""
        return read_number(classifier, picture)

    def rows(self, classifier: Classifier, prepared: Sequence[Number]) -> list[Row]:  # noqa: ARG002
        """See `Task`."""
        return [
            {
                "text": number["text"],
                "digit_count": len(number["digits"]),
                "least_probability": min(digit["probability"] for digit in number["digits"]),
                "ambiguous_count": ambiguous_count(number),
                "non_digit_count": non_digit_count(number),
                "left_out": number["left_out"],
            }
            for number in prepared
        ]
