"""What a run does with each picture: recognize one digit, or read a number. A run has one of these tasks.

Both have the same methods. Tasks are pickled for the processes of a run.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from cli.batch.expected import ExpectedAnswers
from digits.finder.read import Marks, Number, ambiguous_count, non_digit_count, read_number, set_accept
from digits.model.classifier import Classifier
from digits.model.predictions import Prediction, predict
from digits.normalization.doubts import DOUBTS
from digits.normalization.mnist_form import Mode
from digits.normalization.normalize import Normalized
from digits.percent import percent
from digits.picture import Picture

_NOT_IN_ROWS = frozenset(("model", "line", "box", "pixels", "ink", "saliency"))
"""The fields of a prediction that are the same in every row, or only in replies."""

_AT_THE_END = "version", "error", "checked_by"
"""The last columns of every row. A person who has checked an answer writes `person` into the last one."""


@dataclass(frozen=True, slots=True)
class Predict:
    """Recognize the digit, or the class, that each picture shows."""

    command: ClassVar[str] = "digits predict"
    normalize: Mode
    with_probabilities: bool = False
    coverage: float | None = None
    """Of the prediction sets. None means the version's own."""

    def options(self) -> dict[str, str | float | None]:
        """Return the options that determine the rows. A run resumes only with the same ones."""
        return {"--normalize": self.normalize, "--coverage": self.coverage}

    def columns(self, classifier: Classifier) -> tuple[str, ...]:
        """Return the names of a row's columns: the fields of a prediction by a model of digits, or of other classes.

        Raises ValueError if the version has no prediction sets of this coverage.
        """
        if self.coverage is not None:
            classifier.thresholds_at(self.coverage)
        absent = _NOT_IN_ROWS | ({"class_name", "is_known"} if classifier.class_names is None else {"is_digit"})
        if not self.with_probabilities:
            absent |= {"probabilities"}
        return "path", *(name for name in Prediction.__annotations__ if name not in absent), *_AT_THE_END

    def prepare(self, classifier: Classifier, picture: Picture) -> Normalized:
        """Do what can be done for one picture alone. Raises DigitsError."""
        return picture.prepare(classifier.preparation(self.normalize))

    def answers(
        self, classifier: Classifier, prepared: Sequence[Normalized], picture_of: Callable[[int], Picture]
    ) -> list[Prediction]:
        """Classify all pictures in one forward pass, and the doubtful ones, opened again, in another."""
        return predict(classifier, prepared, lambda index: picture_of(index).look_again(), self.coverage)

    def row(self, classifier: Classifier, answer: Prediction) -> dict[str, Any]:
        """Return values by column, which `to_json` can encode. A column may be left out. Other values are ignored."""
        return {**answer, "version": classifier.manifest.version}

    def grade(self, _path: str, _row: Mapping[str, Any]) -> dict[str, str | None]:
        """Return the expected answer of a row and its grade, for the columns of these names."""
        return {}

    def text(self, classifier: Classifier, answer: Prediction) -> str:
        """Return a record as text for a person."""
        names = classifier.manifest.classes
        remarks = [f"{names[answer['digit']]} ({percent(float(answer['probability']))})"]
        prediction_set = answer.get("prediction_set", [answer["digit"]])
        if not prediction_set:
            remarks.append(f"no {'digit' if classifier.class_names is None else 'class'} is probable enough")
        elif prediction_set != [answer["digit"]]:
            remarks.append(f"may be {' or '.join(names[index] for index in prediction_set)}")
        if not answer.get("is_digit", answer.get("is_known", True)):
            remarks.append("not a digit?" if classifier.class_names is None else "none of the classes?")
        doubts = answer["doubts"]
        if "neighbour" in doubts:
            remarks.append("more digits? `read` reads them all")
        if others := [doubt for doubt in DOUBTS if doubt in doubts and doubt != "neighbour"]:
            remarks.append(f"doubts: {' '.join(others)}")
        return ", ".join(remarks)


@dataclass(frozen=True, slots=True)
class Read:
    """Read all digits on each picture."""

    command: ClassVar[str] = "digits read"
    marks: Marks = "count"
    expected: ExpectedAnswers | None = None

    def options(self) -> dict[str, str]:
        """Return the options that determine the rows, as `Predict.options` does."""
        answers = hashlib.sha256(repr(self.expected).encode()).hexdigest()[:12]
        return {"--marks": self.marks} | ({"--expected": answers} if self.expected else {})

    def columns(self, classifier: Classifier) -> tuple[str, ...]:
        """Return the names of a row's columns. Raises OtherClasses."""
        classifier.require_digits()
        counts = ("digit_count", "least_probability", "ambiguous_count", "non_digit_count", "mark_count", "left_out")
        grades = ("expected", "grade") if self.expected else ()
        return "path", "text", *counts, "accept", *_AT_THE_END, *grades

    def prepare(self, classifier: Classifier, picture: Picture) -> Number:
        """Read one picture. Its digits are many enough for a forward pass of their own."""
        number = read_number(classifier, picture)
        set_accept(number, self.marks)
        return number

    def answers(self, _: Classifier, prepared: Sequence[Number], _picture_of: object) -> Sequence[Number]:
        return prepared

    def row(self, classifier: Classifier, answer: Number) -> dict[str, Any]:
        return {
            "text": answer["text"],
            "digit_count": len(answer["digits"]),
            "least_probability": min(digit["probability"] for digit in answer["digits"]),
            "ambiguous_count": ambiguous_count(answer),
            "non_digit_count": non_digit_count(answer),
            "mark_count": len(answer["marks"]),
            "left_out": answer["left_out"],
            "accept": answer.get("accept"),
            "version": classifier.manifest.version,
        }

    def grade(self, path: str, row: Mapping[str, Any]) -> dict[str, str | None]:
        return self.expected.grade(path, row) if self.expected else {}

    def text(self, _: Classifier, answer: Number) -> str:
        remarks = [" / ".join(answer["lines"])]
        if ambiguous := ambiguous_count(answer):
            remarks.append(f"{ambiguous} may be another digit")
        if non_digits := non_digit_count(answer):
            remarks.append(f"{non_digits} may be no digit")
        if count := len(answer["marks"]):
            remarks.append(f"{count} mark{'' if count == 1 else 's'}")
        return ", ".join(remarks)


Task = Predict | Read
