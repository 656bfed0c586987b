"""The prediction for a picture: one record from the forward pass to the reply, a folder's row and the command's output.

A new field is added to `Prediction` and set in `predictions`. `/predict`, each digit of `/read`, `--json` and the rows
of `digits predict` then have it. `/read` lacks what `complete` sets. Describe the field in `app/openapi/schemas.py` and
in the reply examples.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, TypedDict

import numpy as np
import orjson
from numpy.typing import NDArray

from digits.features import Floats, to_features
from digits.model.artifact import MAX_NOVELTY
from digits.model.choice import Seen, better, judged
from digits.model.classifier import Classifier, ModelName, Scores
from digits.model.prediction_sets import Thresholds, prediction_sets
from digits.normalization.mnist_form import are_normalized
from digits.normalization.normalize import Normalized


class Prediction(TypedDict, total=False):
    """What the network says about one picture, described in `app.openapi.schemas`. What does not apply is absent."""

    digit: int
    class_name: str
    probability: np.float32
    probabilities: Floats
    """(classes,)"""
    prediction_set: list[int]
    coverage: float
    calibration: str
    is_digit: bool
    is_known: bool
    novelty: np.float32
    accept: bool
    preprocessing: Sequence[str]
    model: ModelName
    doubts: Sequence[str]
    left_out: int
    line: int
    box: Any
    pixels: NDArray[np.uint8]
    ink: NDArray[np.uint8]
    saliency: Floats
    """(28, 28)"""


def predictions(
    classifier: Classifier,
    scores: Scores,
    normalized: NDArray[np.bool_] | None = None,
    others: Iterable[int | None] = (),
) -> list[Prediction]:
    """Return the prediction for each of N pictures in MNIST form, without `preprocessing` and `model`.

    The prediction sets are those of the version's own coverage, if it has any. `normalized` and `others` are as in
    `set_coverage`.
    """
    probabilities, novelty = scores
    # A list, because each access to one value of an array takes a microsecond.
    digits: list[int] = probabilities.argmax(axis=1).tolist()
    names = classifier.class_names
    records: list[Prediction] = [
        {"digit": digit, "probability": row[digit], "probabilities": row}
        if names is None
        else {"digit": digit, "class_name": names[digit], "probability": row[digit], "probabilities": row}
        for digit, row in zip(digits, probabilities, strict=True)
    ]
    thresholds = classifier.thresholds.get((classifier.coverage, False))
    if thresholds is not None:
        set_coverage(records, probabilities, thresholds, classifier.coverage, normalized, others=others)
    if novelty is not None:
        name: Literal["is_digit", "is_known"] = "is_digit" if names is None else "is_known"
        for record, score, is_known in zip(records, novelty, (novelty <= MAX_NOVELTY).tolist(), strict=True):
            record[name] = is_known
            record["novelty"] = score
            _set_accept(record)
    return records


def _set_accept(record: Prediction) -> None:
    """Set whether the answer needs no check by a person. It is not known if the version lacks what the rule needs."""
    is_known = record.get("is_digit", record.get("is_known"))
    if is_known is not None and "prediction_set" in record:
        is_sure = record["prediction_set"] == [record["digit"]]
        record["accept"] = is_sure and is_known and not record.get("doubts")


def set_coverage(
    records: Sequence[Prediction],
    probabilities: Floats,
    thresholds: Thresholds,
    coverage: float,
    normalized: NDArray[np.bool_] | None = None,
    *,
    others: Iterable[int | None] = (),
) -> None:
    """Set the prediction sets of N records, with their coverage and calibration.

    `probabilities` are (N, classes). `thresholds` are those of the coverage, the minimum frequency with which a set
    contains the true class. `normalized` says which pictures were normalized, (N,). None means that all of them came in
    MNIST form. `others` has for each picture what another look at it shows, if that is plausible too and so a member of
    the set.
    """
    sets = prediction_sets(probabilities, thresholds.of_pictures(normalized))
    for index, other in enumerate(others):
        if other is not None:
            sets[index] = sorted({*sets[index], other})
    for record, each, calibration in zip(records, sets, thresholds.calibrations(normalized), strict=False):
        record["prediction_set"] = each
        record["coverage"] = coverage
        record["calibration"] = calibration
        _set_accept(record)


def complete(
    records: Sequence[Prediction],
    classifier: Classifier,
    steps: Iterable[Sequence[str]],
    doubts: Iterable[Sequence[str]],
) -> None:
    """Add the model to N records, with the steps that normalized each picture, and its doubts. They may be infinite."""
    for record, own_steps, own_doubts in zip(records, steps, doubts, strict=False):
        record["preprocessing"] = own_steps
        record["model"] = classifier.model_name
        record["doubts"] = own_doubts
        if own_doubts:
            record["left_out"] = len(own_doubts)
            _set_accept(record)


def predict(
    classifier: Classifier,
    pictures: Sequence[Normalized],
    look_again: Callable[[int], Normalized | None] = lambda _index: None,
    coverage: float | None = None,
) -> list[Prediction]:
    """Return the records of `judge`."""
    return judge(classifier, pictures, look_again, coverage).records


def judge(
    classifier: Classifier,
    pictures: Sequence[Normalized],
    look_again: Callable[[int], Normalized | None] = lambda _index: None,
    coverage: float | None = None,
) -> "Judged":
    """Classify prepared pictures.

    `look_again` returns another look at one of them, given its index, or None if there is none. It is for doubtful
    answers. Raises ValueError if the version has no prediction sets of the given coverage. None means
    its own.
    """
    answers = Judged.at_first_look(classifier, pictures, classifier.scores(to_features(pixels_of(pictures))))
    again = {index: other for index in answers.doubtful() if (other := look_again(index)) is not None}
    if again:
        answers = answers.after_second_look(again, classifier.scores(to_features(pixels_of(again.values()))))
    if coverage is not None:
        steps, others = [each.normalized.steps for each in answers.seen], [each.other for each in answers.seen]
        thresholds, probabilities = classifier.thresholds_at(coverage), answers.scores.probabilities
        set_coverage(answers.records, probabilities, thresholds, coverage, are_normalized(steps), others=others)
    return answers


def pixels_of(pictures: Iterable[Normalized]) -> NDArray[Any]:
    """Return prepared pictures, (rows, 28, 28), uint8, or float32 in [0, 1] if some came as floats."""
    pixels = [picture.pixels for picture in pictures]
    if len({each.dtype for each in pixels}) > 1:
        pixels = [to_features(each[None]).reshape(each.shape) for each in pixels]
    return np.array(pixels)


@dataclass(frozen=True, slots=True)
class Judged:
    """What the network says about pictures, after one look at each and perhaps another look at some."""

    classifier: Classifier
    all_scores: Scores
    """Of all looks, row by row."""
    seen: list[Seen]
    """The better look at each picture."""
    scores: Scores
    """Of these looks."""
    records: list[Prediction]
    """Complete."""

    @classmethod
    def of(cls, classifier: Classifier, all_scores: Scores, seen: list[Seen]) -> Self:
        scores = all_scores.select([each.row for each in seen])
        steps = [each.normalized.steps for each in seen]
        records = predictions(classifier, scores, are_normalized(steps), [each.other for each in seen])
        has_digits = classifier.class_names is None  # of letters, say, some are solid or have marks inside
        doubts = [[doubt for doubt in each.normalized.doubts if has_digits or doubt == "neighbour"] for each in seen]
        complete(records, classifier, steps, doubts)
        return cls(classifier, all_scores, seen, scores, records)

    @classmethod
    def at_first_look(cls, classifier: Classifier, pictures: Sequence[Normalized], scores: Scores) -> Self:
        """Return the answers. `scores` are the pictures'."""
        return cls.of(classifier, scores, judged(pictures, scores))

    def doubtful(self) -> list[int]:
        """Return the indices of the pictures to look at again, if the finder knows the classes."""
        if self.classifier.class_names is not None:
            return []
        return [
            index
            for index, (record, each) in enumerate(zip(self.records, self.seen, strict=True))
            if each.normalized.may_differ and not (each.normalized.is_alone and record.get("accept", True))
        ]

    def after_second_look(self, again: Mapping[int, Normalized], scores: Scores) -> Self:
        """Take the better of both looks. `again` has what the second one showed, by the picture's index."""
        second = judged([*again.values()], scores, first_row=len(self.all_scores.probabilities))
        seen = [*self.seen]
        for index, each in zip(again, second, strict=True):
            seen[index] = better(seen[index], each)
        return self.of(self.classifier, Scores.joined([self.all_scores, scores]), seen)


def to_json(content: Any) -> bytes:
    """Encode records as JSON. A float32 has the fewest digits that read back as the same float32."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
