"""What is special to TensorFlow Serving's REST API, KServe's first protocol, SageMaker and MLflow."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from digits.features import Grey
from tests.app.conftest import DAMAGED, FIRST, SECOND, THIRD, Service, cases
from tests.app.dialects import BLANK, PNG, SEVEN, V1, base64, raw, typed
from tests.conftest import SHIPPED_VERSION, make_graph, run_graph

PREDICT = f"{V1}:predict"
FLAT: list[float] = (SEVEN / np.float32(255)).ravel().tolist()
ROWS = [FLAT[start : start + 28] for start in range(0, 784, 28)]
FILE = {"b64": base64(PNG)}
RECORD = dict(zip(map(str, range(784)), FLAT, strict=True))

Wrap = Callable[[list[Any]], Any]


def answer(client: httpx.Client, path: str, body: Any) -> Any:
    reply = client.post(path, json=body)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json"), reply.text
    return reply.json()


def by_name(pictures: list[Any]) -> list[Any]:
    return [{"features": picture} for picture in pictures]


def split_frame(pictures: list[Any]) -> dict[str, Any]:
    return {"columns": list(range(784)), "data": pictures}


def records(pictures: list[Any]) -> list[dict[str, float]]:
    return [dict(zip(RECORD, picture, strict=True)) for picture in pictures]


@cases(
    ("path", "wrap", "key"),
    {
        "28x28": (PREDICT, lambda some: {"instances": np.reshape(some, (-1, 28, 28)).tolist()}, "predictions"),
        "by name": (PREDICT, lambda some: {"signature_name": "", "instances": by_name(some)}, "predictions"),
        "a column": (PREDICT, lambda some: {"signature_name": None, "inputs": some}, "outputs"),
        "a column by name": (PREDICT, lambda some: {"inputs": {"features": some}}, "outputs"),
        "a signature": (PREDICT, lambda s: {"signature_name": "serving_default", "instances": s}, "predictions"),
        "a data frame": ("/invocations", lambda some: {"dataframe_split": split_frame(some)}, "predictions"),
        "records": ("/invocations", lambda some: {"dataframe_records": records(some)}, "predictions"),
        "records of a column": ("/invocations", lambda s: {"dataframe_records": by_name(s)}, "predictions"),
    },
)
def test_floats_get_the_probabilities_of_the_network(
    client: httpx.Client, digits: Grey, expected: NDArray[np.float32], path: str, wrap: Wrap, key: str
) -> None:
    floats = (digits / np.float32(255)).reshape(-1, 784).tolist()

    np.testing.assert_allclose(answer(client, path, wrap(floats))[key], expected, rtol=0, atol=1e-6)


def test_classes_come_with_their_labels(client: httpx.Client, digits: Grey, expected: NDArray[np.float32]) -> None:
    floats = (digits / np.float32(255)).reshape(-1, 784).tolist()

    results = answer(client, f"{V1}:classify", {"examples": by_name(floats)})["results"]

    assert {tuple(label for label, _ in result) for result in results} == {tuple("0123456789")}
    scores = [[score for _, score in result] for result in results]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pixels", [np.roll(SEVEN, 5, axis=0), np.zeros_like(SEVEN)], ids=["off-centre", "blank"])
def test_floats_are_not_normalized(client: httpx.Client, pixels: Grey) -> None:
    untouched = client.post("/predict", params={"normalize": "never"}, **raw(pixels)).json()["probabilities"]

    (probabilities,) = answer(client, PREDICT, {"instances": [(pixels / np.float32(255)).tolist()]})["predictions"]

    np.testing.assert_allclose(probabilities, untouched, rtol=0, atol=1e-6)


@cases(
    ("path", "kind"),
    {
        "no content type": (PREDICT, ""),
        "curl's content type": (PREDICT, "application/x-www-form-urlencoded"),
        "a percent-encoded colon": ("/v1/models/mnist-dense%3Apredict", "application/json"),
        "a version with a leading zero": (f"{V1}/versions/0{SHIPPED_VERSION}:predict", "application/json"),
    },
)
def test_the_spelling_of_path_and_content_type_does_not_matter(client: httpx.Client, path: str, kind: str) -> None:
    reply = client.post(path, content=json.dumps({"instances": [FLAT]}), headers={"content-type": kind} if kind else {})

    assert np.argmax(reply.json()["predictions"]) == 7


def test_invocations_take_an_encoded_picture_as_the_body(client: httpx.Client) -> None:
    reply = client.post("/invocations", **typed("image/png", PNG))

    assert reply.json() == answer(client, PREDICT, {"instances": [FILE]})


def test_the_status_satisfies_both_tensorflow_serving_and_kserve(client: httpx.Client) -> None:
    reply = client.get(V1)

    status = {"error_code": "OK", "error_message": ""}
    version = {"version": str(SHIPPED_VERSION), "state": "AVAILABLE", "status": status}
    assert reply.json() == {"name": "mnist-dense", "ready": True, "model_version_status": [version]}
    assert client.get(f"{V1}/versions/{SHIPPED_VERSION}").json() == reply.json()
    assert client.head(V1).status_code == 200
    assert client.get("/v1/models").json() == {"models": ["mnist-dense"]}
    assert client.get("/ping").text == "\n"  # SageMaker and MLflow


def test_the_metadata_have_the_shape_of_tensorflow_serving(client: httpx.Client) -> None:
    reply = client.get(f"{V1}/metadata")

    def tensor(name: str, size: str) -> dict[str, Any]:
        dim = [{"size": "-1", "name": ""}, {"size": size, "name": ""}]
        return {"dtype": "DT_FLOAT", "tensor_shape": {"dim": dim, "unknown_rank": False}, "name": name}

    signature = {
        "inputs": {"features": tensor("serving_default_features:0", "784")},
        "outputs": {"probabilities": tensor("StatefulPartitionedCall:0", "10")},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    assert reply.json() == {
        "model_spec": {"name": "mnist-dense", "signature_name": "", "version": str(SHIPPED_VERSION)},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    }


def test_without_a_model_the_status_names_the_damaged_version(modelless: Service) -> None:
    status = modelless.client.get(V1)
    refusals = [modelless.client.get(f"{V1}/{path}") for path in ("metadata", "versions/77")]

    assert (status.status_code, status.json()["ready"]) == (503, False)
    damaged = {"error_code": "FAILED_PRECONDITION", "error_message": "model.onnx: missing"}
    assert status.json()["model_version_status"] == [{"version": str(FIRST), "state": "END", "status": damaged}]
    for refusal in refusals:
        assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "2")
        assert list(refusal.json()) == ["error"]


def test_a_label_answers_with_its_version(several: Service) -> None:
    expected = run_graph(make_graph(SECOND - FIRST), np.array([FLAT], np.float32))

    reply = several.client.post(f"{V1}/labels/stable:predict", json={"instances": [FLAT]})

    np.testing.assert_allclose(reply.json()["predictions"], expected, rtol=0, atol=1e-6)
    assert reply.headers["x-model-version"] == str(SECOND)


@cases(
    ("path", "status", "states"),
    {
        "all": ("", 200, f"{DAMAGED} END {THIRD} AVAILABLE {SECOND} AVAILABLE {FIRST} AVAILABLE"),
        "by number": (f"/versions/{FIRST}", 200, f"{FIRST} AVAILABLE"),
        "by label": ("/labels/stable", 200, f"{SECOND} AVAILABLE"),
        "a damaged one": (f"/versions/{DAMAGED}", 503, f"{DAMAGED} END"),
    },
)
def test_the_states_of_versions_are_reported(several: Service, path: str, status: int, states: str) -> None:
    reply = several.client.get(V1 + path)

    told = [f"{each['version']} {each['state']}" for each in reply.json()["model_version_status"]]
    assert (reply.status_code, " ".join(told)) == (status, states)
    assert reply.json()["ready"] is (status == 200)


def instances(*pictures: Any, **more: Any) -> dict[str, Any]:
    return {"instances": pictures, **more}


WRONG_BODIES = {
    "empty": (b"", "JSON Parse error: "),
    "a list": ([FLAT], "JSON Value: Is not object"),
    "an empty object": ({}, "Missing 'inputs' or 'instances' key"),
    "as /predict": ({"pixels": FLAT}, "Missing 'inputs' or 'instances' key; received 'pixels'"),
    "not a list": ({"instances": "seven"}, "Expecting 'instances' to be an list/array"),
    "an empty list": ({"instances": []}, "No values in 'instances' array"),
    "another signature": (instances(FLAT, signature_name="seven"), '"seven" not found in signature def'),
    "too few": (instances(FLAT, FLAT[1:]), "1 of 'instances' list. Error: Expecting tensor size: 784 but got: 783"),
    "a row too short": (instances([*ROWS[1:], ROWS[0][1:]]), "list at unexpected size: 27 at level: 1"),
    "a picture for a column": ({"inputs": FLAT}, "element: 0 of 'inputs' list. Error: expected 784 floats"),
    "another name": (instances({"pixels": FLAT}), "keys must be equal to: features; received pixels"),
    "pixels from 0 to 255": (instances(SEVEN.ravel().tolist()), "expected numbers from 0 to 1; some are outside."),
    "a boolean": (instances([True, *FLAT[1:]]), "expected numbers, received a boolean"),
    "not base64": (instances({"b64": "?"}), "element: 0 of 'instances' list. Error: expected a picture in base64"),
    "floats after a picture": (instances(FILE, FLAT), "1 of 'instances' list. Error: expected a picture in base64"),
    "a picture without ink": (instances({"b64": base64(BLANK)}), "no ink"),
}

WRONG_REQUESTS = {
    **{name: (PREDICT, *row) for name, row in WRONG_BODIES.items()},
    "instances": (f"{V1}:classify", instances(FLAT), "When method is classify, key 'examples' is expected"),
    "regress": (f"{V1}:regress", {"examples": [{"features": FLAT}]}, "to be tensorflow/serving/regress. Was: "),
}


@cases(("path", "body", "said"), WRONG_REQUESTS)
def test_a_wrong_body_is_explained(client: httpx.Client, path: str, body: Any, said: str) -> None:
    reply = client.post(path, content=body if isinstance(body, bytes) else json.dumps(body))

    assert (reply.status_code, reply.headers["content-type"]) == (400, "application/json")
    assert list(reply.json()) == ["error"]
    assert said in reply.json()["error"]
    assert len(reply.text) < 400


UNKNOWN, NO_MODEL = "Could not find version", "Could not find any versions of model"


@cases(
    ("method", "path", "status", "said"),
    {
        "another model": ("POST", "/v1/models/other:predict", 404, "not found for request: Latest(other)"),
        "its status": ("GET", "/v1/models/other", 404, f"{NO_MODEL} other"),
        "another verb": ("POST", f"{V1}:explain", 404, f"Malformed request: POST {V1}:explain"),
        "the root": ("GET", "/v1", 404, "Malformed request: GET /v1"),
        "a path with a line break": ("GET", "/v1/a%0Ab", 404, "Malformed request: GET /v1/a"),
        "a GET for a prediction": ("GET", PREDICT, 405, "expected POST, received GET"),
        "a POST for a status": ("POST", V1, 405, "expected GET, HEAD, received POST"),
        "a version": ("POST", f"{V1}/versions/77:predict", 404, "Specific(mnist-dense, 77)"),
        "a label": ("POST", f"{V1}/labels/new:predict", 404, "Unrecognized servable version label: new"),
        "a label without its version": ("POST", f"{V1}/labels/gone:predict", 404, "Specific(mnist-dense, 99)"),
        "a version's status": ("GET", f"{V1}/versions/77", 404, f"{UNKNOWN} 77 of model mnist-dense"),
    },
)
def test_a_wrong_path_is_explained(several: Service, method: str, path: str, status: int, said: str) -> None:
    reply = several.client.request(method, path, json={"instances": [FLAT]})

    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
    assert said in reply.json()["error"]
    assert ("allow" in reply.headers) == (status == 405)
    assert len(reply.text) < 300


@cases(
    ("frame", "said"),
    {
        "an object": ({}, "Expecting 'dataframe_records' to be an list/array; received an object"),
        "no record": ([], "No values in 'dataframe_records' array"),
        "a list": ([FLAT], "element: 0 of 'dataframe_records' list. Error: expected an object"),
        "both": ([RECORD, FLAT], "element: 1 of 'dataframe_records' list. Error: expected an object"),
        "another name": ([{"pixels": FLAT}], "expected 784 columns or one, 'features', received 1"),
        "a column too many": ([{**RECORD, "label": 7}], "received 785 columns"),
        "another order": ([RECORD, dict(reversed(RECORD.items()))], "received others from column 0 on"),
        "40 000 columns": ([dict.fromkeys(map(str, range(40_000)), 0)], "and 40001 strings"),
    },
)
def test_wrong_records_are_problem_details(client: httpx.Client, frame: Any, said: str) -> None:
    reply = client.post("/invocations", json={"dataframe_records": frame})

    assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
    assert said in reply.json()["detail"]
