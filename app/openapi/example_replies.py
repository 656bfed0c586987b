"""The example replies of the API documentation. Tests compare them with what the service replies."""

from typing import Any

import orjson

from app.errors import (
    BodyTooLarge,
    InvalidQuery,
    MalformedBody,
    NotFound,
    Overloaded,
    SlowBody,
    Unauthorized,
    UnsupportedType,
    name,
    problem_response,
)
from digits import artifact
from digits.errors import DigitsError, InvalidImage, InvalidPixels, NoInk, NoUsableModel

MODEL = {"name": artifact.NAME, "version": 2}

SEVEN_PROBABILITIES = [
    *(8.411405e-10, 0.0000034698771, 4.066371e-7, 5.040148e-7, 1.0917145e-9),
    *(2.7021817e-11, 1.2632723e-13, 0.9999893, 1.4388558e-8, 0.0000063234356),
]

SEVEN = {
    "digit": 7,
    "probability": 0.9999893,
    "probabilities": SEVEN_PROBABILITIES,
    "prediction_set": [7],
    "coverage": 0.99,
    "calibration": "mnist",
    "is_digit": True,
    "novelty": -0.12636077,
    "preprocessing": [],
    "model": MODEL,
}
"""The reply for seven.png."""

PHOTO = {
    "digit": 4,
    "probability": 0.9999957,
    "probabilities": [
        *(2.7227847e-15, 3.8572385e-9, 1.0432392e-9, 3.9855785e-11, 0.9999957),
        *(3.3072958e-10, 5.6140387e-12, 1.7014723e-7, 3.1179666e-9, 0.0000041784947),
    ],
    "prediction_set": [4],
    "coverage": 0.99,
    "calibration": "normalized",
    "is_digit": True,
    "novelty": -0.22885323,
    "preprocessing": ["inverted", "cropped", "centered"],
    "model": MODEL,
}
"""The reply for photo.jpg."""

PREDICTIONS = {
    "one picture": {"summary": "One picture: photo.jpg", "value": PHOTO},
    "several pictures": {
        "summary": "Several pictures: seven.png and photo.jpg",
        "value": {"predictions": [SEVEN, PHOTO]},
    },
}

NUMBER = {
    "text": "4071",
    "lines": ["4071"],
    "digits": [
        {
            "digit": 4,
            "probability": 0.99838674,
            "probabilities": [
                0.001418997,
                4.8224655e-7,
                0.0000063844627,
                9.470069e-10,
                0.99838674,
                1.9882155e-8,
                0.00017672127,
                0.0000011021251,
                2.7195816e-7,
                0.000009293272,
            ],
            "prediction_set": [4],
            "coverage": 0.99,
            "calibration": "normalized",
            "is_digit": True,
            "novelty": 0.6645965,
            "line": 0,
            "box": {"x": 40, "y": 52, "width": 71, "height": 57},
        },
        {
            "digit": 0,
            "probability": 0.99996006,
            "probabilities": [
                0.99996006,
                1.7707672e-8,
                7.389841e-7,
                1.9746017e-11,
                3.4442446e-10,
                8.7583635e-7,
                0.000037044098,
                1.1467657e-8,
                6.6044925e-7,
                5.316508e-7,
            ],
            "prediction_set": [0],
            "coverage": 0.99,
            "calibration": "normalized",
            "is_digit": True,
            "novelty": 0.065461546,
            "line": 0,
            "box": {"x": 139, "y": 45, "width": 43, "height": 71},
        },
        {
            "digit": 7,
            "probability": 0.99998486,
            "probabilities": [
                3.3197944e-9,
                0.0000036211159,
                2.842584e-7,
                0.000008667258,
                1.5144558e-8,
                2.0242515e-8,
                4.974427e-13,
                0.99998486,
                9.9136654e-9,
                0.0000026113826,
            ],
            "prediction_set": [7],
            "coverage": 0.99,
            "calibration": "normalized",
            "is_digit": True,
            "novelty": 0.08674887,
            "line": 0,
            "box": {"x": 210, "y": 45, "width": 67, "height": 71},
        },
        {
            "digit": 1,
            "probability": 0.9984894,
            "probabilities": [
                0.000011193565,
                0.9984894,
                0.0000031293307,
                0.000017757768,
                0.00019444713,
                0.0000150061405,
                0.0000064674555,
                0.0007839314,
                0.00012641578,
                0.00035229645,
            ],
            "prediction_set": [1],
            "coverage": 0.99,
            "calibration": "normalized",
            "is_digit": True,
            "novelty": 0.5803927,
            "line": 0,
            "box": {"x": 306, "y": 46, "width": 14, "height": 70},
        },
    ],
    "left_out": 0,
    "model": MODEL,
}
"""The reply for number.jpg."""

NUMBERS = {"one picture": {"summary": "One picture: number.jpg", "value": NUMBER}}

MANIFEST = {
    "format": 1,
    "name": artifact.NAME,
    "version": 2,
    "created": "2026-11-27T04:01:47.059634Z",
    "inputs": [{"name": "features", "dtype": "float32", "shape": [-1, 784]}],
    "outputs": [
        {"name": "probabilities", "dtype": "float32", "shape": [-1, 10]},
        {"name": "novelty", "dtype": "float32", "shape": [-1]},
        {"name": "saliency", "dtype": "float32", "shape": [-1, 784]},
    ],
    "classes": [str(digit) for digit in range(10)],
    "recipe": {"name": "robust", "hidden_units": 512, "optimizer": "adam", "epochs": 300, "batch_size": 256},
    "seed": 2,
    "dataset": {
        "name": "mnist",
        "sha256": "06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
        "train_images": 50000,
        "validation_images": 5000,
        "calibration_images": 5000,
        "test_images": 10000,
    },
    "libraries": {"keras": "3.15.1", "onnxruntime": "1.32.0"},
    "metrics": {
        "test": {
            "loss": 0.01681172397036403,
            "accuracy": 0.995,
            "wilson_low": 0.9934147426838684,
            "wilson_high": 0.9962050989291618,
        }
    },
}
"""A part of the manifest. The whole one has three hundred lines."""

_UNREADABLE = "expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture, received 1076 bytes that are not one"

_PROBLEMS: dict[int, list[DigitsError]] = {
    400: [
        MalformedBody("expected JSON (RFC 8259, UTF-8), received a body that is not valid JSON: unexpected end of data")
    ],
    401: [Unauthorized("expected a known API key, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`")],
    404: [NotFound("there is nothing at this path; /docs lists all paths")],
    408: [SlowBody("expected the whole body within 60 seconds, received 4096 bytes")],
    413: [BodyTooLarge("expected a body of at most 16777216 bytes, received 20000000")],
    415: [
        UnsupportedType(
            "expected the Content-Type application/json, multipart/form-data, image/png, image/jpeg, image/webp, "
            "image/bmp, image/gif, image/tiff or application/octet-stream, received 'text/plain'"
        )
    ],
    422: [
        NoInk("no ink found: the picture is blank"),
        InvalidImage(_UNREADABLE),
        InvalidPixels("expected 28 rows of 28 numbers or 784 numbers, received 1 rows", pointer="#/pixels"),
        InvalidQuery(
            "query parameter 'include': Input should be 'pixels', 'saliency', 'pixels,saliency' or 'saliency,pixels'"
        ),
    ],
    503: [
        NoUsableModel("the model has not been loaded yet"),
        Overloaded("1024 requests are already in progress; try again later"),
    ],
}


def problem_examples(status: int) -> dict[str, Any]:
    """Return problem details that the service replies with this status, by the error's name."""
    return {
        name(error): {
            "summary": name(error).replace("-", " ").capitalize(),
            "value": orjson.loads(bytes(problem_response(error).body)),
        }
        for error in _PROBLEMS[status]
    }
