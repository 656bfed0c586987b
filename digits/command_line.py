"""The command line of `digits`: it classifies picture files as the service does, without a server."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

import orjson

from digits.errors import DigitsError
from digits.model.artifact import SHIPPED
from digits.model.classifier import Classifier, load_newest
from digits.model.predictions import predict, to_json
from digits.normalization.mnist_form import Mode
from digits.normalization.prepare import prepare_picture
from digits.numbers.read import ambiguous_count, non_digit_count, read_number
from digits.pictures.decode import accepted_formats, open_picture, read


def main(arguments: list[str] | None = None) -> int:
    """Print one line per picture. Return 1 if a picture could not be classified, 2 if there is no model.

    With "read" as the first argument, read numbers of several digits.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    reads_numbers = arguments[:1] == ["read"]
    parser = argparse.ArgumentParser(
        prog="python -m digits read" if reads_numbers else "python -m digits",
        description="Read all digits on each picture."
        if reads_numbers
        else "Recognize the digit in each picture. `python -m digits read FILE...` reads numbers of several digits.",
    )
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help=f"a {accepted_formats()} picture of any size"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    if reads_numbers:
        _add_model_option(parser)
    else:
        add_options(parser)
    options = parser.parse_args(arguments[1:] if reads_numbers else arguments)
    try:
        classifier, refusals = load_newest(options.model_dir)
    except DigitsError as exc:
        print(f"digits: {exc}", file=sys.stderr)
        return 2
    for refusal in refusals:
        print(f"digits: not used: {refusal}", file=sys.stderr)
    if reads_numbers:
        print_file = partial(print_number, as_json=options.json)
    else:
        print_file = partial(print_answer, mode=options.normalize, as_json=options.json)
    successes = [print_file(classifier, str(file), partial(read, file)) for file in options.files]
    return 0 if all(successes) else 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options `--normalize` and `--model-dir` to a parser."""
    parser.add_argument(
        "--normalize",
        choices=get_args(Mode),
        default="auto",
        help="which pictures to bring to MNIST form: those that are not in it (auto), all (always), or none (never). "
        "With never, pictures must be 28x28. Default: %(default)s",
    )
    _add_model_option(parser)


def _add_model_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model-dir",
        type=Path,
        default=Path(os.environ.get("MNIST_MODEL_DIR") or SHIPPED),
        help="folder of published versions. Default: MNIST_MODEL_DIR, else the shipped models",
    )


def print_answer(
    classifier: Classifier, file: str, read_picture: Callable[[], bytes], mode: Mode, *, as_json: bool
) -> bool:
    """Print the answer for one picture, or the error on standard error. Return whether there was an answer.

    Args:
        classifier: the model version to use.
        file: the picture's name.
        read_picture: returns the encoded picture, or raises a DigitsError.
        mode: which pictures to bring to MNIST form.
        as_json: whether to print a JSON object, for errors too.
    """
    try:
        normalized = prepare_picture(open_picture(read_picture()), classifier.preparation(mode))
        (answer,) = predict(classifier, [normalized])
    except DigitsError as exc:
        if as_json:
            _print_json(file, {"error": str(exc)})
        else:
            print(f"{file}: {exc}", file=sys.stderr)
        return False
    if as_json:
        _print_json(file, answer)
    else:
        names = classifier.manifest.classes
        remarks = [f"{names[answer['digit']]} ({answer['probability']:.4f})"]
        prediction_set = answer.get("prediction_set", [answer["digit"]])
        if not prediction_set:
            remarks.append(f"no {'digit' if classifier.class_names is None else 'class'} is probable enough")
        elif prediction_set != [answer["digit"]]:
            remarks.append(f"may be {' or '.join(names[index] for index in prediction_set)}")
        if not answer.get("is_digit", True):
            remarks.append("not a digit?")
        if "left_out" in answer:
            remarks.append("more digits? `read` reads them all")
        print(f"{file}: {', '.join(remarks)}")
    return True


def print_number(classifier: Classifier, file: str, read_picture: Callable[[], bytes], *, as_json: bool) -> bool:
    """Print the digits on one picture, or the error on standard error. Return whether there was an answer.

    The arguments are those of `print_answer`.
    """
    try:
        number = read_number(classifier, open_picture(read_picture()))
    except DigitsError as exc:
        if as_json:
            _print_json(file, {"error": str(exc)})
        else:
            print(f"{file}: {exc}", file=sys.stderr)
        return False
    if as_json:
        _print_json(file, number)
        return True
    remarks = [" / ".join(number["lines"])]
    if ambiguous := ambiguous_count(number):
        remarks.append(f"{ambiguous} may be another digit")
    if non_digits := non_digit_count(number):
        remarks.append(f"{non_digits} may be no digit")
    if number["left_out"]:
        remarks.append(f"{number['left_out']} left out")
    print(f"{file}: {', '.join(remarks)}")
    return True


def _print_json(file: str, fields: Mapping[str, Any]) -> None:
    # The name of a file may have bytes that are no UTF-8, which orjson refuses and `json` escapes.
    print(to_json({"file": orjson.Fragment(json.dumps(file)), **fields}).decode())
