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
    *(2.9244167e-9, 0.0000011491737, 0.000001157746, 0.0000029369087, 1.4454288e-9),
    *(3.0186623e-10, 1.7598977e-13, 0.9999795, 5.3822248e-8, 0.000015166049),
]

SEVEN = {
    "digit": 7,
    "probability": 0.9999795,
    "probabilities": SEVEN_PROBABILITIES,
    "prediction_set": [7],
    "coverage": 0.99,
    "calibration": "mnist",
    "is_digit": True,
    "novelty": 0.023193777,
    "preprocessing": [],
    "model": MODEL,
}
"""The reply for seven.png."""

PHOTO = {
    "digit": 4,
    "probability": 0.9999982,
    "probabilities": [
        *(6.107951e-15, 2.7896456e-9, 2.407531e-10, 6.7030964e-10, 0.9999982),
        *(7.441956e-11, 2.9384227e-12, 4.9164484e-8, 1.1893358e-8, 0.0000017857095),
    ],
    "prediction_set": [4],
    "coverage": 0.99,
    "calibration": "normalized",
    "is_digit": True,
    "novelty": -0.16457707,
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
            "probability": 0.9992762,
            "probabilities": [
                0.00065010804,
                1.3928474e-9,
                1.9161153e-6,
                5.6315135e-9,
                0.9992762,
                1.9874339e-8,
                6.969355e-5,
                1.833493e-6,
                8.2554413e-7,
                1.11063905e-7,
            ],
            "prediction_set": [4],
            "coverage": 0.99,
            "calibration": "normalized",
            "is_digit": True,
            "novelty": 0.6618855,
            "line": 0,
            "box": {"x": 40, "y": 52, "width": 71, "height": 57},
        },
        {
            "digit": 0,
            "probability": 0.99999964,
            "probabilities": [
                0.99999964,
                2.6731566e-9,
                2.5073515e-8,
                7.932489e-14,
                1.0341567e-11,
                1.694486e-8,
                5.0187077e-6,
                6.2866407e-10,
                2.4299164e-8,
                7.226228e-9,
            ],
            "prediction_set": [0],
            "coverage": 0.99,
            "calibration": "normalized",
            "is_digit": True,
            "novelty": 0.121195674,
            "line": 0,
            "box": {"x": 139, "y": 45, "width": 43, "height": 71},
        },
        {
            "digit": 7,
            "probability": 0.999987,
            "probabilities": [
                9.966863e-10,
                1.8343673e-7,
                1.2661765e-6,
                1.8612664e-5,
                2.9652653e-10,
                1.2253636e-8,
                1.5403668e-15,
                0.999987,
                1.7423795e-9,
                5.9392534e-7,
            ],
            "prediction_set": [7],
            "coverage": 0.99,
            "calibration": "normalized",
            "is_digit": True,
            "novelty": -0.10389435,
            "line": 0,
            "box": {"x": 210, "y": 45, "width": 67, "height": 71},
        },
        {
            "digit": 1,
            "probability": 0.9990551,
            "probabilities": [
                1.2251528e-5,
                0.9990551,
                3.755605e-6,
                1.9161615e-5,
                0.0004847355,
                2.8699048e-6,
                1.004974e-5,
                0.0002590162,
                4.0724863e-5,
                0.00012272103,
            ],
            "prediction_set": [1],
            "coverage": 0.99,
            "calibration": "normalized",
            "is_digit": True,
            "novelty": 0.4945366,
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
