"""What is special to the Open Inference Protocol over HTTP."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.api.open_inference.outputs import outputs_of
from digits.model.artifact import NAME
from digits.model.classifier import Classifier
from tests.app.conftest import DAMAGED, FIRST, FOURTH, SECOND, THIRD, Service, cases
from tests.app.dialects import SEVEN, V2, base64, tensor
from tests.conftest import SHIPPED_VERSION, Published, edit_manifest, encoded, publish_tiny, publish_trusted

INFER = f"{V2}/infer"


@cases(
    ("publish", "changes", "trust"),
    {
        "no calibration and no novelty": (publish_tiny, {}, []),
        "calibration and novelty": (publish_trusted, {}, ["accept", "is_digit", "novelty", "prediction_set"]),
        "novelty only": (publish_trusted, {"calibration": None}, ["is_digit", "novelty"]),
        "own classes": (
            publish_trusted,
            {"classes": [*"abcdefghij"]},
            ["accept", "is_known", "novelty", "prediction_set"],
        ),
    },
)
def test_a_version_offers_the_outputs_that_its_predictions_have(
    tmp_path: Path, publish: Callable[[Path], Published], changes: dict[str, Any], trust: list[str]
) -> None:
    folder = publish(tmp_path).folder
    edit_manifest(folder, changes)

    outputs = outputs_of(Classifier.load(folder))

    assert [output.name for output in outputs] == ["probabilities", "digit", *trust]


def test_an_output_that_the_version_does_not_have_is_refused_with_those_that_it_has(shapes: Service) -> None:
    described = [output["name"] for output in shapes.client.get(V2).json()["outputs"]]
    request = infer(outputs=[{"name": "prediction_set"}, {"name": "accept"}])

    reply = shapes.client.post(INFER, json=request)

    assert described == ["probabilities", "digit", "prediction_set"]
    assert reply.status_code == 400
    expected = (
        f"expected the outputs that version {FIRST} has (probabilities, digit, prediction_set), received 'accept'"
    )
    assert reply.json() == {"error": expected}


FLAT: list[int] = SEVEN.ravel().tolist()


def infer(data: Any = FLAT, *, datatype: str = "UINT8", shape: Any = (1, 784), **more: Any) -> dict[str, Any]:
    name = more.pop("name", "features")
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}], **more}


@pytest.mark.parametrize(("given", "id_"), [({"id": "42"}, "42"), ({}, "")], ids=["an id", "no id"])
def test_a_reply_has_every_field_that_clients_read(service: Service, given: dict[str, str], id_: str) -> None:
    body = service.client.post(INFER, json=infer(**given)).json()

    probabilities, digit = body.pop("outputs")
    assert body == {"model_name": NAME, "model_version": str(SHIPPED_VERSION), "id": id_}
    assert np.argmax(probabilities.pop("data")) == 7
    assert probabilities == {"name": "probabilities", "datatype": "FP32", "shape": [1, 10]}
    assert digit == {"name": "digit", "datatype": "INT64", "shape": [1], "data": [7]}


def test_a_raw_request_consists_of_the_bytes_of_one_tensor(service: Service) -> None:
    body = (SEVEN / 255).astype("<f4").tobytes()

    reply = service.client.post(INFER, content=body, headers={"Inference-Header-Content-Length": "0"})

    length = int(reply.headers["inference-header-content-length"])
    header, tail = json.loads(reply.content[:length]), reply.content[length:]
    assert reply.headers["content-type"] == "application/octet-stream"
    assert [output["parameters"]["binary_data_size"] for output in header["outputs"]] == [40, 8]
    assert np.frombuffer(tail[:40], "<f4").argmax() == 7
    assert struct.unpack("<q", tail[40:]) == (7,)


PICTURE = base64(encoded(SEVEN))
CLASSES_OF_DIGIT = [{"name": "digit", "parameters": {"classification": 2}}]


DEEP: Any = []
for _ in range(900):
    DEEP = [DEEP]


@cases(
    ("body", "status", "message"),
    {
        "nothing": (b"", 400, "expected JSON"),
        "a list": ([], 400, "expected an object with 'inputs'"),
        "no inputs": ({}, 400, "expected 'inputs' to be a list of one tensor"),
        "another name": (infer(name="image"), 400, "expected the input 'features'"),
        "one value too few": (infer(FLAT[:-1]), 400, "expected 784 values to match the shape, received 783"),
        "256": (infer([*FLAT[:-1], 256]), 400, "expected whole numbers from 0 to 255"),
        "a number as data": (infer(784), 400, "expected 'data' to be a list"),
        "ragged": (infer([[1], 2]), 400, "a mixture"),
        "a wrong shape": (infer(shape=[1, 783]), 400, "unexpected shape"),
        "a number as id": (infer(id=42), 400, "expected 'id' to be a string"),
        "an unknown output": (infer(outputs=[{"name": "x"}]), 400, "expected the outputs that version"),
        "an object as outputs": (infer(outputs={}), 400, "expected 'outputs' to be a list"),
        "an output without a name": (infer(outputs=[{}]), 400, "expected each output to have a name"),
        "no base64": (infer(["!"], datatype="BYTES", shape=[1]), 400, "pictures in base64"),
        "a deep name": (infer(name=DEEP), 400, "expected the input 'features', received a list"),
        "an output twice": (infer(outputs=[{"name": "digit"}] * 2), 400, "expected each output once"),
        "classes of the digit": (infer(outputs=CLASSES_OF_DIGIT), 400, "'classification' to be a number of"),
    },
)
def test_a_wrong_request_is_explained(service: Service, body: Any, status: int, message: str) -> None:
    reply = service.client.post(INFER, content=body if isinstance(body, bytes) else json.dumps(body))

    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error"]
    assert message in reply.json()["error"]


@pytest.mark.parametrize(("data", "shape"), [([PICTURE], [1]), ([PICTURE], [1, 1]), ([[PICTURE]], [1, 1])])
def test_encoded_pictures_may_be_flat_or_nested(service: Service, data: Any, shape: list[int]) -> None:
    reply = service.client.post(INFER, json=infer(data, datatype="BYTES", shape=shape))

    assert reply.json()["outputs"][1]["data"] == [7]


@pytest.mark.parametrize("length", ["-1", "99999", "9" * 30])
def test_a_wrong_header_length_is_refused(service: Service, length: str) -> None:
    reply = service.client.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": length})

    assert reply.status_code == 400
    assert reply.json()["error"].startswith("expected Inference-Header-Content-Length to be a number from 0 to 2, ")


@pytest.mark.parametrize("sizes", [(785, 784), (784, 783), (None, 784), ("784", 784)])
def test_a_wrong_binary_size_is_refused(service: Service, sizes: tuple[Any, int]) -> None:
    declared, sent = sizes
    parameters = {} if declared is None else {"binary_data_size": declared}
    header = json.dumps({"inputs": [tensor("UINT8", [1, 784], parameters=parameters)]}).encode()

    reply = service.client.post(
        INFER, content=header + SEVEN.tobytes()[:sent], headers={"Inference-Header-Content-Length": str(len(header))}
    )

    assert reply.status_code == 400
    assert "binary_data_size" in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/resnet", 404),
        ("GET", f"{V2}/versions/x/ready", 404),
        ("GET", f"{V2}/versions/{chr(0x660 + SHIPPED_VERSION)}/ready", 404),  # in Arabic digits
        ("POST", f"{V2}/versions/{SHIPPED_VERSION}/predict", 404),
        ("GET", INFER, 405),
        ("POST", "/v2/logging", 501),
    ],
)
def test_other_paths_and_methods_are_errors_of_the_protocol(
    service: Service, method: str, path: str, status: int
) -> None:
    reply = service.client.request(method, path)

    assert reply.status_code == status
    assert list(reply.json()) == ["error"]
    assert ("allow" in reply.headers) == (status == 405)


def test_the_metadata_and_the_repository_index_say_which_versions_are_ready(several: Service) -> None:
    index = several.client.post("/v2/repository/index").json()

    assert [(known["version"], known["state"], known["reason"]) for known in index] == [
        (str(DAMAGED), "UNAVAILABLE", "model.onnx: missing"),
        (str(FOURTH), "UNAVAILABLE", ""),
        *((str(number), "READY", "") for number in (THIRD, SECOND, FIRST)),
        (str(SHIPPED_VERSION), "UNAVAILABLE", ""),
    ]
    assert {known["name"] for known in index} == {NAME}
    ready = several.client.post("/v2/repository/index", json={"ready": True}).json()
    assert ready == [known for known in index if known["state"] == "READY"]
    assert several.client.post("/v2/repository/index", json={"ready": "no"}).status_code == 400
    assert several.client.get(V2).json()["versions"] == [str(number) for number in (FIRST, SECOND, THIRD)]
