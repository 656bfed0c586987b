"""What a run does with each picture: recognize one digit, or read a number. A run has one of these tasks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cli.sources.tables import Content
from digits.errors import DigitsError
from digits.model.classifier import Classifier
from digits.model.predictions import Prediction, predict
from digits.normalization.mnist_form import Mode
from digits.normalization.normalize import Normalized
from digits.numbers.read import Number, ambiguous_count, non_digit_count, read_number
from digits.percent import percent
from digits.picture import Picture

Row = dict[str, Any]
"""Values by column, in types that `digits.model.predictions.to_json` encodes."""

_NOT_IN_ROWS = frozenset(("model", "line", "box", "pixels", "ink", "saliency"))
"""The fields of a prediction that are the same in every row, or only in replies."""


def _picture(content: Content) -> Picture:
    """Return the picture of a file or of a row. Raises DigitsError."""
    if isinstance(content, DigitsError):
        raise content
    return Picture(content) if isinstance(content, bytes) else Picture.of_pixels(content)


class Task(ABC):
    """The part of a run that differs between the commands. Tasks are pickled for the processes of a run."""

    command: ClassVar[str]

    def options(self) -> dict[str, str]:
        """Return the options that determine the rows. A run resumes only with the same ones."""
        return {}

    @abstractmethod
    def columns(self, classifier: Classifier) -> tuple[str, ...]:
        """Return the names of a row's columns, from `path` to `error`. Raises OtherClasses."""

    @abstractmethod
    def prepare(self, classifier: Classifier, content: Content) -> Any:
        """Do what can be done for one picture alone. Raises DigitsError."""

    def answers(
        self,
        classifier: Classifier,  # noqa: ARG002
        prepared: Sequence[Any],
        content_of: Callable[[int], Content],  # noqa: ARG002
    ) -> Sequence[Mapping[str, Any]]:
        """Return the complete record of each prepared picture, by default what `prepare` returned.

        `content_of` reads the content of one of them again, for another look.
        """
        return prepared

    @abstractmethod
    def row(self, classifier: Classifier, answer: Any) -> Row:
        """Return the row of a record, without `path` and `error`.

        Columns that are left out are empty. Values that are in no column are ignored.
        """

    @abstractmethod
    def text(self, classifier: Classifier, answer: Any) -> str:
        """Return a record as text for a person."""


@dataclass(frozen=True, slots=True)
class Predict(Task):
    """Recognize the digit, or the class, that each picture shows."""

    command: ClassVar[str] = "digits predict"
    normalize: Mode
    with_probabilities: bool = False

    def options(self) -> dict[str, str]:
        return {"--normalize": self.normalize}

    def columns(self, classifier: Classifier) -> tuple[str, ...]:
        """Return the columns: the fields of a prediction by a model of digits, or of other classes."""
        of_others = {"class_name", "is_known"}
        absent = {*_NOT_IN_ROWS, *(of_others if classifier.class_names is None else {"is_digit"})}
        if not self.with_probabilities:
            absent.add("probabilities")
        return "path", *(name for name in Prediction.__annotations__ if name not in absent), "version", "error"

    def prepare(self, classifier: Classifier, content: Content) -> Normalized:
        return _picture(content).prepare(classifier.preparation(self.normalize))

    def answers(
        self, classifier: Classifier, prepared: Sequence[Normalized], content_of: Callable[[int], Content]
    ) -> list[Prediction]:
        """Classify all pictures in one forward pass, and the doubtful ones again in another."""
        return predict(classifier, prepared, lambda index, first: _picture(content_of(index)).look_again(first))

    def row(self, classifier: Classifier, answer: Prediction) -> Row:
        return {**answer, "version": classifier.manifest.version}

    def text(self, classifier: Classifier, answer: Prediction) -> str:
        names = classifier.manifest.classes
        remarks = [f"{names[answer['digit']]} ({percent(float(answer['probability']))})"]
        prediction_set = answer.get("prediction_set", [answer["digit"]])
        if not prediction_set:
            remarks.append(f"no {'digit' if classifier.class_names is None else 'class'} is probable enough")
        elif prediction_set != [answer["digit"]]:
            remarks.append(f"may be {' or '.join(names[index] for index in prediction_set)}")
        if not answer.get("is_digit", answer.get("is_known", True)):
            remarks.append("not a digit?" if classifier.class_names is None else "none of the classes?")
        if "left_out" in answer:
            remarks.append("more digits? `read` reads them all")
        return ", ".join(remarks)


@dataclass(frozen=True, slots=True)
class Read(Task):
    """Read all digits on each picture."""

    command: ClassVar[str] = "digits read"

    def columns(self, classifier: Classifier) -> tuple[str, ...]:
        classifier.require_digits()
        counts = ("digit_count", "least_probability", "ambiguous_count", "non_digit_count", "left_out", "accept")
        return "path", "text", *counts, "version", "error"

    def prepare(self, classifier: Classifier, content: Content) -> Number:
        """Read one picture. Its candidates are many enough for a forward pass of their own."""
        return read_number(classifier, _picture(content))

    def row(self, classifier: Classifier, answer: Number) -> Row:
        return {
            "text": answer["text"],
            "digit_count": len(answer["digits"]),
            "least_probability": min(digit["probability"] for digit in answer["digits"]),
            "ambiguous_count": ambiguous_count(answer),
            "non_digit_count": non_digit_count(answer),
            "left_out": answer["left_out"],
            "accept": answer.get("accept"),
            "version": classifier.manifest.version,
        }

    def text(self, classifier: Classifier, answer: Number) -> str:  # noqa: ARG002
        remarks = [" / ".join(answer["lines"])]
        if ambiguous := ambiguous_count(answer):
            remarks.append(f"{ambiguous} may be another digit")
        if non_digits := non_digit_count(answer):
            remarks.append(f"{non_digits} may be no digit")
        if answer["left_out"]:
            remarks.append(f"{answer['left_out']} left out")
        return ", ".join(remarks)
