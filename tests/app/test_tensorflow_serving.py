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
from tests.app.dialects import BLANK, PHOTO, PNG, RAW, SEVEN, V1, base64, form
from tests.conftest import SHIPPED_VERSION, encoded, make_graph, run_graph

PREDICT = f"{V1}:predict"
FLAT: list[float] = (SEVEN / np.float32(255)).ravel().tolist()
ROWS = [FLAT[start : start + 28] for start in range(0, 784, 28)]
FILE = {"b64": base64(PNG)}

Wrap = Callable[[list[Any]], Any]


def answer(client: httpx.Client, path: str, body: Any) -> Any:
    reply = client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    return reply.json()


def rows(client: httpx.Client, pictures: list[Any]) -> Any:
    return answer(client, PREDICT, {"instances": pictures})["predictions"]


def by_name(pictures: list[Any]) -> list[Any]:
    return [{"features": picture} for picture in pictures]


def split_frame(pictures: list[Any]) -> dict[str, Any]:
    return {"columns": list(range(784)), "data": [np.ravel(picture).tolist() for picture in pictures]}


def records(pictures: list[Any]) -> list[dict[str, float]]:
    return [{f"pixel{n}": value for n, value in enumerate(np.ravel(picture).tolist())} for picture in pictures]


BODIES: dict[str, tuple[str, Wrap, str]] = {
    "rows": (PREDICT, lambda some: {"signature_name": "serving_default", "instances": some}, "predictions"),
    "rows by name": (PREDICT, lambda some: {"instances": by_name(some)}, "predictions"),
    "a column": (PREDICT, lambda some: {"inputs": some}, "outputs"),
    "a column by name": (PREDICT, lambda some: {"inputs": {"features": some}}, "outputs"),
    "records of one column": ("/invocations", lambda some: {"dataframe_records": by_name(some)}, "predictions"),
}
FRAMES: dict[str, tuple[str, Wrap, str]] = {
    "a data frame": ("/invocations", lambda some: {"dataframe_split": split_frame(some)}, "predictions"),
    "a data frame's records": ("/invocations", lambda some: {"dataframe_records": records(some)}, "predictions"),
}


class TestPredictions:
    @pytest.mark.parametrize(("path", "wrap", "key"), cases(BODIES | FRAMES))
    @pytest.mark.parametrize("side", [(784,), (28, 28)], ids=["784", "28x28"])
    def test_for_floats_equal_those_of_the_network(
        self,
        client: httpx.Client,
        digits: Grey,
        expected: NDArray[np.float32],
        path: str,
        wrap: Wrap,
        key: str,
        side: tuple[int, ...],
    ) -> None:
        floats = (digits / np.float32(255)).reshape(-1, *side).tolist()

        np.testing.assert_allclose(answer(client, path, wrap(floats))[key], expected, rtol=0, atol=1e-6)

    @pytest.mark.parametrize(("path", "wrap", "key"), cases(BODIES))
    def test_for_pictures_equal_those_of_the_network(
        self, client: httpx.Client, digits: Grey, expected: NDArray[np.float32], path: str, wrap: Wrap, key: str
    ) -> None:
        pictures = [{"b64": base64(encoded(picture))} for picture in digits]

        np.testing.assert_allclose(answer(client, path, wrap(pictures))[key], expected, rtol=0, atol=1e-6)

    def test_have_labels_if_classes_are_requested(
        self, client: httpx.Client, digits: Grey, expected: NDArray[np.float32]
    ) -> None:
        floats = (digits / np.float32(255)).reshape(-1, 784).tolist()

        results = answer(client, f"{V1}:classify", {"examples": by_name(floats)})["results"]

        assert {tuple(label for label, _ in result) for result in results} == {tuple("0123456789")}
        scores = [[score for _, score in result] for result in results]
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)

    def test_come_for_one_picture_as_a_column(self, client: httpx.Client) -> None:
        photo = {"b64": base64(PHOTO)}

        assert answer(client, PREDICT, {"inputs": photo})["outputs"] == rows(client, [photo])

    def test_for_floats_are_made_without_normalization(self, client: httpx.Client) -> None:
        shifted = np.roll(SEVEN, 5, axis=0)
        raw: dict[str, Any] = RAW | {"content": shifted.tobytes()}
        untouched = client.post("/predict", params={"normalize": "never"}, **raw).json()["probabilities"]

        (probabilities,) = rows(client, [(shifted / np.float32(255)).tolist()])

        np.testing.assert_allclose(probabilities, untouched, rtol=0, atol=1e-6)

    def test_for_a_blank_picture_of_floats_exist(self, client: httpx.Client) -> None:
        (probabilities,) = rows(client, [[0] * 784])

        assert sum(probabilities) == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize(
        "path",
        ["/v1/models/mnist-dense%3Apredict", f"{V1}/versions/0{SHIPPED_VERSION}:predict"],
        ids=["percent-encoded", "a version with a leading zero"],
    )
    def test_come_for_each_spelling_of_the_path(self, client: httpx.Client, path: str) -> None:
        assert np.argmax(answer(client, path, {"instances": [FLAT]})["predictions"]) == 7

    @pytest.mark.parametrize("name", ["serving_default", "", None])
    def test_come_for_each_way_to_name_the_signature(self, client: httpx.Client, name: str | None) -> None:
        assert len(answer(client, PREDICT, {"signature_name": name, "instances": [FLAT]})["predictions"]) == 1

    @pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
    def test_come_whatever_the_content_type(self, client: httpx.Client, kind: str | None) -> None:
        headers = {"content-type": kind} if kind else {}

        reply = client.post(PREDICT, content=json.dumps({"instances": [FLAT]}), headers=headers)

        assert reply.status_code == 200

    @pytest.mark.parametrize(
        "body",
        [{"content": PNG, "headers": {"content-type": "image/png"}}, RAW, form([PNG])],
        ids=["a file", "raw bytes", "a form"],
    )
    def test_from_invocations_come_for_each_body_that_predict_takes(
        self, client: httpx.Client, body: dict[str, Any]
    ) -> None:
        reply = client.post("/invocations", **body)

        assert reply.json() == {"predictions": rows(client, [FILE])}


class TestStatus:
    def test_satisfies_both_tensorflow_serving_and_kserve(self, client: httpx.Client) -> None:
        reply = client.get(V1)

        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        version = {
            "version": str(SHIPPED_VERSION),
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        assert reply.json() == {"name": "mnist-dense", "ready": True, "model_version_status": [version]}
        assert client.get(f"{V1}/versions/{SHIPPED_VERSION}").json() == reply.json()
        assert client.head(V1).status_code == 200
        assert client.get("/v1/models").json() == {"models": ["mnist-dense"]}

    def test_metadata_has_the_shape_of_tensorflow_serving(self, client: httpx.Client) -> None:
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
        assert client.get(f"{V1}/versions/{SHIPPED_VERSION}/metadata").json() == reply.json()

    def test_ping_answers_sagemaker_and_mlflow(self, client: httpx.Client) -> None:
        reply = client.get("/ping")

        assert (reply.status_code, reply.text) == (200, "\n")

    def test_without_a_model_names_the_damaged_version(self, modelless: Service) -> None:
        status = modelless.client.get(V1)
        refusals = [modelless.client.get(f"{V1}/{path}") for path in ("metadata", "versions/77")]

        assert status.status_code == 503
        assert status.json()["ready"] is False
        assert status.json()["model_version_status"] == [
            {
                "version": str(FIRST),
                "state": "END",
                "status": {"error_code": "FAILED_PRECONDITION", "error_message": "model.onnx: missing"},
            }
        ]
        for refusal in refusals:
            assert (refusal.status_code, refusal.headers["retry-after"]) == (503, "2")
            assert list(refusal.json()) == ["error"]


class TestVersions:
    def test_a_label_answers_with_its_version(self, several: Service) -> None:
        expected = run_graph(make_graph(SECOND - FIRST), np.array([FLAT], np.float32))

        reply = several.client.post(f"{V1}/labels/stable:predict", json={"instances": [FLAT]})

        np.testing.assert_allclose(reply.json()["predictions"], expected, rtol=0, atol=1e-6)
        assert reply.headers["x-model-version"] == str(SECOND)

    @pytest.mark.parametrize(
        ("path", "version"), [("", THIRD), (f"/versions/{FIRST}", FIRST), ("/labels/stable", SECOND)]
    )
    def test_metadata_names_the_version(self, several: Service, path: str, version: int) -> None:
        metadata = several.client.get(f"{V1}{path}/metadata").json()

        assert metadata["model_spec"]["version"] == str(version)

    @pytest.mark.parametrize(
        ("path", "status", "states"),
        cases(
            {
                "all": ("", 200, f"{DAMAGED} END {THIRD} AVAILABLE {SECOND} AVAILABLE {FIRST} AVAILABLE"),
                "by number": (f"/versions/{FIRST}", 200, f"{FIRST} AVAILABLE"),
                "by label": ("/labels/stable", 200, f"{SECOND} AVAILABLE"),
                "a damaged one": (f"/versions/{DAMAGED}", 503, f"{DAMAGED} END"),
            }
        ),
    )
    def test_their_states_are_reported(self, several: Service, path: str, status: int, states: str) -> None:
        reply = several.client.get(V1 + path)

        told = [f"{each['version']} {each['state']}" for each in reply.json()["model_version_status"]]
        assert (reply.status_code, " ".join(told)) == (status, states)
        assert reply.json()["ready"] is (status == 200)

    @pytest.mark.parametrize(
        ("method", "path", "said"),
        cases(
            {
                "a version": (
                    "POST",
                    "/versions/77:predict",
                    "Servable not found for request: Specific(mnist-dense, 77)",
                ),
                "a label": ("POST", "/labels/new:predict", "Unrecognized servable version label: new"),
                "a label without its version": ("POST", "/labels/gone:predict", "Specific(mnist-dense, 99)"),
                "a version's status": ("GET", "/versions/77", "Could not find version 77 of model mnist-dense"),
                "a label's status": ("GET", "/labels/new", "Unrecognized servable version label: new"),
                "a version's metadata": ("GET", "/versions/77/metadata", "Specific(mnist-dense, 77)"),
                "a long number": ("GET", "/versions/" + "9" * 5000, "Could not find version 9"),
            }
        ),
    )
    def test_an_unknown_version_is_not_found(self, several: Service, method: str, path: str, said: str) -> None:
        reply = several.client.request(method, V1 + path, json={"instances": [FLAT]})

        assert reply.status_code == 404
        assert said in reply.json()["error"]
        assert len(reply.text) < 300


def instances(*pictures: Any, **more: Any) -> dict[str, Any]:
    return {"instances": pictures, **more}


RECORD = dict(zip(map(str, range(784)), FLAT, strict=True))
NAN = b'{"instances":[[NaN' + b",0" * 783 + b"]]}"
NO_SIGNATURE = "Serving signature name: "

WRONG_BODIES = {
    "empty": (b"", "JSON Parse error: "),
    "invalid JSON": (b"{", "JSON Parse error: "),
    "NaN": (NAN, "JSON Parse error: "),
    "a list": ([FLAT], "JSON Value: Is not object"),
    "an empty object": ({}, "Missing 'inputs' or 'instances' key"),
    "as /predict": ({"pixels": FLAT}, "Missing 'inputs' or 'instances' key; received 'pixels'"),
    "both": (instances(FLAT, inputs=[FLAT]), "expecting only one of 'inputs' or 'instances'"),
    "not a list": ({"instances": "seven"}, "Expecting 'instances' to be an list/array"),
    "an empty list": ({"instances": []}, "No values in 'instances' array"),
    "another signature": (instances(FLAT, signature_name="seven"), NO_SIGNATURE + '"seven" not found in signature def'),
    "an object for a signature": (instances(FLAT, signature_name={}), NO_SIGNATURE),
    "too few": (
        instances(FLAT, FLAT[1:]),
        "Failed to process element: 1 of 'instances' list. Error: Expecting tensor size: 784 but got: 783",
    ),
    "a row too few": (instances(ROWS[1:]), "Expecting tensor size: 784 but got: 756"),
    "a row too short": (
        instances([*ROWS[1:], ROWS[0][1:]]),
        "Encountered list at unexpected size: 27 at level: 1 expected size: 28",
    ),
    "a number among rows": (instances([*ROWS[1:], 0.5]), "Encountered list at unexpected size: 1 at level: 1"),
    "numbers for pictures": (instances(*FLAT), "element: 0 of 'instances' list. Error: expected 784 floats"),
    "a picture for a column": ({"inputs": FLAT}, "element: 0 of 'inputs' list. Error: expected 784 floats"),
    "another name": (instances({"pixels": FLAT}), "keys must be equal to: features; received pixels"),
    "another name of a column": (
        {"inputs": {"pixels": [FLAT]}},
        "Missing named input: features in 'inputs' object.",
    ),
    "pixels from 0 to 255": (
        instances(SEVEN.ravel().tolist()),
        "expected numbers from 0 to 1; some are outside. Send 0 to 255 to /predict",
    ),
    "a negative number": (instances([-0.1, *FLAT[1:]]), "expected numbers from 0 to 1"),
    "a boolean": (instances([True, *FLAT[1:]]), "expected numbers, received a boolean"),
    "a string": (instances(["0.5", *FLAT[1:]]), "expected numbers, received a string"),
    "a list among numbers": (instances([[], *FLAT[1:]]), "Expecting tensor size: 784 but got: 783"),
    "a list after numbers": (instances([*FLAT[1:], []]), "expected numbers, received a list"),
    "not base64": (instances({"b64": "?"}), "element: 0 of 'instances' list. Error: expected a picture in base64"),
    "a number for base64": (instances({"b64": 7}), "expected a picture in base64"),
    "floats after a picture": (instances(FILE, FLAT), "1 of 'instances' list. Error: expected a picture in base64"),
    "a picture after floats": (instances(FLAT, FILE), "1 of 'instances' list. Error: expected 784 floats"),
    "a picture without ink": (instances({"b64": base64(BLANK)}), "no ink"),
    "many objects": (b'{"instances":[' + b"{}," * 20_000 + b"{}]}", "received 20002 objects"),
    "many strings": (b'{"instances":[' + b'"",' * 20_000 + b'""]}', "and 20002 strings"),
}

WRONG_PATHS = {
    "another model": ("POST", "/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
    "its version": ("POST", "/v1/models/other/versions/1:predict", 404, "not found for request: Specific(other, 1)"),
    "its status": ("GET", "/v1/models/other", 404, "Could not find any versions of model other"),
    "its metadata": ("GET", "/v1/models/other/metadata", 404, "Servable not found for request: Latest(other)"),
    "another verb": ("POST", f"{V1}:explain", 404, f"Malformed request: POST {V1}:explain"),
    "a slash too many": ("POST", f"{PREDICT}/", 404, f"Malformed request: POST {PREDICT}/"),
    "not a number": ("POST", f"{V1}/versions/one:predict", 404, "Malformed request: POST"),
    "the root": ("GET", "/v1", 404, "Malformed request: GET /v1"),
    "a path with a line break": ("GET", "/v1/a%0Ab", 404, "Malformed request: GET /v1/a"),
    "a GET for a prediction": ("GET", PREDICT, 405, "expected POST, received GET"),
    "a POST for a status": ("POST", V1, 405, "expected GET, HEAD, received POST"),
    "a DELETE": ("DELETE", "/v1/models", 405, "expected GET, HEAD, received DELETE"),
}

WRONG_RECORDS = {
    "an object": ({}, "Expecting 'dataframe_records' to be an list/array; received an object"),
    "no record": ([], "No values in 'dataframe_records' array"),
    "a list": ([FLAT], "element: 0 of 'dataframe_records' list. Error: expected an object"),
    "both": ([RECORD, FLAT], "element: 1 of 'dataframe_records' list. Error: expected an object"),
    "no column": ([{}], "expected 784 columns or one, 'features', received 0 columns"),
    "another name": ([{"pixels": FLAT}], "expected 784 columns or one, 'features', received 1"),
    "a column too many": ([{**RECORD, "label": 7}], "received 785 columns"),
    "another order": (
        [RECORD, dict(reversed(RECORD.items()))],
        "expected the columns of element 0 in their order, received others from column 0 on",
    ),
    "one more than the first": ([RECORD, {**RECORD, "label": 7}], "received others from column 784 on"),
    "one column after many": ([RECORD, {"features": FLAT}], "received others from column 0 on"),
    "null for a value": ([{**RECORD, "0": None}], "expected numbers, received null"),
    "a pixel from 0 to 255": ([{**RECORD, "0": 255}], "expected numbers from 0 to 1"),
    "40 000 columns": ([dict.fromkeys(map(str, range(40_000)), 0)], "and 40001 strings"),
}


class TestErrors:
    @pytest.mark.parametrize(("body", "said"), cases(WRONG_BODIES))
    def test_a_wrong_body_is_explained(self, client: httpx.Client, body: Any, said: str) -> None:
        reply = client.post(PREDICT, content=body if isinstance(body, bytes) else json.dumps(body))

        assert (reply.status_code, reply.headers["content-type"]) == (400, "application/json")
        assert list(reply.json()) == ["error"]
        assert said in reply.json()["error"]
        assert len(reply.text) < 400

    @pytest.mark.parametrize(("method", "path", "status", "said"), cases(WRONG_PATHS))
    def test_a_wrong_path_is_explained(
        self, client: httpx.Client, method: str, path: str, status: int, said: str
    ) -> None:
        reply = client.request(method, path)

        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
        assert said in reply.json()["error"]
        assert ("allow" in reply.headers) == (status == 405)

    @pytest.mark.parametrize(
        ("verb", "body", "said"),
        cases(
            {
                "instances": ("classify", instances(FLAT), "When method is classify, key 'examples' is expected"),
                "no examples": ("classify", {"examples": []}, "No values in 'examples' array"),
                "another feature": ("classify", {"examples": [{"x": 1}]}, "keys must be equal to: features"),
                "regress": ("regress", {"examples": [{"features": FLAT}]}, "to be tensorflow/serving/regress. Was: "),
            }
        ),
    )
    def test_wrong_examples_are_explained(self, client: httpx.Client, verb: str, body: Any, said: str) -> None:
        reply = client.post(f"{V1}:{verb}", json=body)

        assert reply.status_code == 400
        assert said in reply.json()["error"]

    @pytest.mark.parametrize(("frame", "said"), cases(WRONG_RECORDS))
    def test_wrong_records_are_problem_details(self, client: httpx.Client, frame: Any, said: str) -> None:
        reply = client.post("/invocations", json={"dataframe_records": frame})

        assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json")
        assert said in reply.json()["detail"]

    def test_another_content_type_of_invocations_is_a_problem(self, client: httpx.Client) -> None:
        reply = client.post("/invocations", content=b"0,1", headers={"content-type": "text/csv"})

        assert (reply.status_code, reply.headers["content-type"]) == (415, "application/problem+json")
