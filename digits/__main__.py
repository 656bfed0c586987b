"""`python -m digits FILE...`: the same answer as the service gives, without a server."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import get_args

from digits.artifact import SHIPPED
from digits.classifier import Classifier, load_newest
from digits.errors import DigitsError, InvalidImage
from digits.features import to_features
from digits.images import open_picture, to_grey
from digits.mnist_form import Mode
from digits.normalize import normalize
from digits.prediction_sets import DEFAULT_COVERAGE, prediction_sets


def main(arguments: list[str] | None = None) -> int:
    """Answer for each file, one line a picture; 1 when one could not be answered, 2 when there is no model."""
    parser = argparse.ArgumentParser(prog="python -m digits", description="Which digit is on the picture?")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="PNG, JPEG, WEBP, BMP, GIF or TIFF, of any size"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--normalize",
        choices=get_args(Mode),
        default="auto",
        help="bring pictures to MNIST form: those that are not (auto), all, or none, which takes 28x28 only "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--model-dir",
        type=Path,
        default=Path(os.environ.get("MNIST_MODEL_DIR", SHIPPED)),
        help="where published versions lie (default: MNIST_MODEL_DIR, else the shipped models)",
    )
    options = parser.parse_args(arguments)
    try:
        classifier, refusals = load_newest(options.model_dir)
    except DigitsError as exc:
        print(f"digits: {exc}", file=sys.stderr)
        return 2
    for refusal in refusals:
        print(f"digits: not used: {refusal}", file=sys.stderr)
    answered = [_answer(classifier, file, options.normalize, as_json=options.json) for file in options.files]
    return 0 if all(answered) else 1


def _answer(classifier: Classifier, file: Path, mode: Mode, *, as_json: bool) -> bool:
    try:
        normalized = normalize(to_grey(open_picture(_read(file))), mode)
        scores = classifier.scores(to_features(normalized.pixels[None]))
    except DigitsError as exc:
        if as_json:
            print(json.dumps({"file": str(file), "error": str(exc)}))
        else:
            print(f"{file}: {exc}", file=sys.stderr)
        return False
    probabilities = scores.probabilities[0]
    digit = int(probabilities.argmax())
    thresholds = classifier.thresholds.get((DEFAULT_COVERAGE, False))
    may_be = None if thresholds is None else prediction_sets(scores.probabilities, thresholds)[0]
    novelty = None if scores.novelty is None else float(scores.novelty[0])
    if as_json:
        shown = {
            "file": str(file),
            "digit": digit,
            "probability": float(probabilities[digit]),
            "probabilities": [float(p) for p in probabilities],
            **({} if may_be is None else {"prediction_set": may_be, "coverage": DEFAULT_COVERAGE}),
            **({} if novelty is None else {"is_digit": novelty <= 1, "novelty": novelty}),
            "preprocessing": normalized.steps,
            "model": {"name": classifier.manifest.name, "version": classifier.manifest.version},
        }
        print(json.dumps(shown))
    else:
        said = [f"{digit} ({probabilities[digit]:.4f})"]
        if may_be is not None and may_be != [digit]:
            said.append(f"may be {' or '.join(map(str, may_be))}" if may_be else "no digit is probable enough")
        if novelty is not None and not novelty <= 1:
            said.append("not a digit?")
        print(f"{file}: {', '.join(said)}")
    return True


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as exc:
        raise InvalidImage(f"cannot be read: {exc.strerror}") from exc


if __name__ == "__main__":
    sys.exit(main())
