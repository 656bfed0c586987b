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

MODEL = {"name": artifact.NAME, "version": 1}

SEVEN_PROBABILITIES = [
    *(2.2408612e-8, 0.0000010062876, 0.000015804524, 0.0000053956496, 5.1671853e-9),
    *(6.77985e-10, 8.440919e-12, 0.9999682, 4.393127e-9, 0.000009628036),
]

SEVEN = {
    "digit": 7,
    "probability": 0.9999682,
    "probabilities": SEVEN_PROBABILITIES,
    "prediction_set": [7],
    "coverage": 0.99,
    "calibration": "mnist",
    "is_digit": True,
    "novelty": -0.27063298,
    "preprocessing": [],
    "model": MODEL,
}
"""The reply for seven.png."""

PHOTO = {
    "digit": 4,
    "probability": 0.9999977,
    "probabilities": [
        *(1.9514277e-12, 1.1185563e-8, 3.510815e-10, 8.51998e-11, 0.9999977),
        *(2.0573213e-11, 2.7501676e-10, 4.2484899e-7, 1.4593347e-8, 0.0000017332557),
    ],
    "prediction_set": [4],
    "coverage": 0.99,
    "calibration": "mnist",
    "is_digit": True,
    "novelty": -0.30960804,
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
            "probability": 0.99931014,
            "probabilities": [
                0.00038473154,
                1.7229747e-08,
                1.2708842e-06,
                1.8383233e-09,
                0.99931014,
                3.8444927e-08,
                0.00029987865,
                3.5584615e-06,
                2.689978e-07,
                1.4206695e-07,
            ],
            "prediction_set": [4],
            "coverage": 0.99,
            "calibration": "mnist",
            "is_digit": True,
            "novelty": 0.53766596,
            "line": 0,
            "box": {"x": 40, "y": 52, "width": 71, "height": 57},
        },
        {
            "digit": 0,
            "probability": 0.99999845,
            "probabilities": [
                0.99999845,
                8.865917e-09,
                2.3693964e-07,
                5.070376e-12,
                8.157292e-10,
                2.2234095e-08,
                1.0888294e-06,
                2.8130879e-08,
                5.8171754e-08,
                7.4514716e-08,
            ],
            "prediction_set": [0],
            "coverage": 0.99,
            "calibration": "mnist",
            "is_digit": True,
            "novelty": 0.10890603,
            "line": 0,
            "box": {"x": 139, "y": 45, "width": 43, "height": 71},
        },
        {
            "digit": 7,
            "probability": 0.9999485,
            "probabilities": [
                8.691418e-08,
                3.0752662e-07,
                1.2540745e-05,
                3.7052007e-05,
                2.4064473e-10,
                3.5824675e-07,
                1.4739392e-13,
                0.9999485,
                3.1159584e-09,
                1.1271009e-06,
            ],
            "prediction_set": [7],
            "coverage": 0.99,
            "calibration": "mnist",
            "is_digit": True,
            "novelty": -0.070430875,
            "line": 0,
            "box": {"x": 210, "y": 45, "width": 67, "height": 71},
        },
        {
            "digit": 1,
            "probability": 0.99989486,
            "probabilities": [
                2.8731182e-09,
                0.99989486,
                6.51808e-08,
                9.221415e-08,
                8.096696e-06,
                6.607155e-07,
                1.3071447e-07,
                8.575299e-05,
                1.5383279e-06,
                8.816861e-06,
            ],
            "prediction_set": [1],
            "coverage": 0.99,
            "calibration": "mnist",
            "is_digit": True,
            "novelty": 0.10623109,
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
    "version": 1,
    "created": "2026-11-26T08:41:11.838519Z",
    "inputs": [{"name": "features", "dtype": "float32", "shape": [-1, 784]}],
    "outputs": [
        {"name": "probabilities", "dtype": "float32", "shape": [-1, 10]},
        {"name": "novelty", "dtype": "float32", "shape": [-1]},
        {"name": "saliency", "dtype": "float32", "shape": [-1, 784]},
    ],
    "classes": [str(digit) for digit in range(10)],
    "recipe": {"name": "robust", "hidden_units": 512, "optimizer": "adam", "epochs": 300, "batch_size": 256},
    "seed": 0,
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
            "loss": 0.017416719406532513,
            "accuracy": 0.9952,
            "wilson_low": 0.9936421802475339,
            "wilson_high": 0.9963775077661479,
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
