"""`python -m digits FILE...`: the same answer as the service gives, without a server."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import get_args

from digits.answers import answers
from digits.artifact import SHIPPED
from digits.classifier import Classifier, load_newest
from digits.errors import DigitsError
from digits.features import to_features
from digits.images import open_picture, read, to_grey
from digits.mnist_form import Mode
from digits.normalize import normalize


def main(arguments: list[str] | None = None) -> int:
    """Answer for each file, one line a picture; 1 when one could not be answered, 2 when there is no model."""
    parser = argparse.ArgumentParser(prog="python -m digits", description="Which digit is on the picture?")
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="PNG, JPEG, WEBP, BMP, GIF or TIFF, of any size"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_options(parser)
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """What decides an answer besides the picture: `--normalize` and `--model-dir`."""
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


def _answer(classifier: Classifier, file: Path, mode: Mode, *, as_json: bool) -> bool:
    try:
        normalized = normalize(to_grey(open_picture(read(file))), mode)
        told = answers(classifier, to_features(normalized.pixels[None]))
    except DigitsError as exc:
        if as_json:
            print(json.dumps({"file": str(file), "error": str(exc)}))
        else:
            print(f"{file}: {exc}", file=sys.stderr)
        return False
    answer = {name: column[0] for name, column in told.items()}
    if as_json:
        model = {"name": classifier.manifest.name, "version": classifier.manifest.version}
        print(json.dumps({"file": str(file), **answer, "preprocessing": normalized.steps, "model": model}))
    else:
        said = [f"{answer['digit']} ({answer['probability']:.4f})"]
        may_be = answer.get("prediction_set", [answer["digit"]])
        if may_be != [answer["digit"]]:
            said.append(f"may be {' or '.join(map(str, may_be))}" if may_be else "no digit is probable enough")
        if not answer.get("is_digit", True):
            said.append("not a digit?")
        print(f"{file}: {', '.join(said)}")
    return True


if __name__ == "__main__":
    sys.exit(main())
