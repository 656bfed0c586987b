"""TensorFlow Serving's REST API, KServe's first protocol, SageMaker and MLflow, as their clients use them."""

import gzip
import json
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from app.errors import RETRY_SECONDS
from app.openapi.example_pictures import EXAMPLES
from digits.model.artifact import MODEL
from tests.app.conftest import Service, StartService
from tests.conftest import SHIPPED_VERSION, Mnist, encoded, make_graph, publish_tiny, run_graph

MODEL_PATH = "/v1/models/mnist-dense"
PREDICT = f"{MODEL_PATH}:predict"

SEVEN = np.frombuffer((EXAMPLES / "seven.bin").read_bytes(), np.uint8)
FLAT: list[float] = (SEVEN / np.float32(255)).tolist()
ROWS = [FLAT[start : start + 28] for start in range(0, 784, 28)]
PNG = {"b64": b64encode((EXAMPLES / "seven.png").read_bytes()).decode()}
PHOTO = {"b64": b64encode((EXAMPLES / "photo.jpg").read_bytes()).decode()}

Ask = Callable[[httpx.Client, list[Any]], Any]


def answer(client: httpx.Client, path: str, body: Any) -> Any:
    reply = client.post(path, json=body)
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/json"
    return reply.json()


def rows(client: httpx.Client, pictures: list[Any]) -> Any:
    return answer(client, PREDICT, {"signature_name": "serving_default", "instances": pictures})["predictions"]


def named_rows(client: httpx.Client, pictures: list[Any]) -> Any:
    return answer(client, PREDICT, {"instances": [{"features": picture} for picture in pictures]})["predictions"]


def column(client: httpx.Client, pictures: list[Any]) -> Any:
    return answer(client, PREDICT, {"inputs": pictures})["outputs"]


def named_column(client: httpx.Client, pictures: list[Any]) -> Any:
    return answer(client, PREDICT, {"inputs": {"features": pictures}})["outputs"]


def classes(client: httpx.Client, pictures: list[Any]) -> Any:
    results = answer(client, f"{MODEL_PATH}:classify", {"examples": [{"features": each} for each in pictures]})
    assert {tuple(label for label, _ in result) for result in results["results"]} == {tuple("0123456789")}
    return [[score for _, score in result] for result in results["results"]]


def invocations(client: httpx.Client, pictures: list[Any]) -> Any:
    return answer(client, "/invocations", {"instances": pictures})["predictions"]


def frame(client: httpx.Client, pictures: list[Any]) -> Any:
    split = {"columns": list(range(784)), "data": [np.ravel(picture).tolist() for picture in pictures]}
    return answer(client, "/invocations", {"dataframe_split": split})["predictions"]


def records(client: httpx.Client, pictures: list[Any]) -> Any:
    frame = [{f"pixel{n}": value for n, value in enumerate(np.ravel(picture).tolist())} for picture in pictures]
    return answer(client, "/invocations", {"dataframe_records": frame})["predictions"]


def records_of_one_column(client: httpx.Client, pictures: list[Any]) -> Any:
    frame = [{"features": picture} for picture in pictures]
    return answer(client, "/invocations", {"dataframe_records": frame})["predictions"]


ASKS = [
    pytest.param(rows, id="rows"),
    pytest.param(named_rows, id="rows by name"),
    pytest.param(column, id="a column"),
    pytest.param(named_column, id="a column by name"),
    pytest.param(classes, id="classify"),
    pytest.param(invocations, id="invocations"),
    pytest.param(records_of_one_column, id="records of one column"),
]
FRAMES = [pytest.param(frame, id="a data frame"), pytest.param(records, id="a data frame's records")]


@pytest.fixture(scope="module")
def digits(mnist: Mnist) -> Any:
    """200 MNIST test images, uint8 (200, 28, 28)."""
    return mnist.pixels[::25]


@pytest.fixture(scope="module")
def expected(client: httpx.Client, digits: Any) -> Any:
    """The probabilities that /predict replies for them, (200, 10)."""
    reply = client.post("/predict", params={"normalize": "never"}, json={"instances": digits.tolist()})
    return np.array([prediction["probabilities"] for prediction in reply.json()["predictions"]])


class TestPredictions:
    @pytest.mark.parametrize("ask", [*ASKS, *FRAMES])
    @pytest.mark.parametrize("shape", [pytest.param((784,), id="784"), pytest.param((28, 28), id="28x28")])
    def test_for_floats_equal_those_of_predict(
        self, client: httpx.Client, digits: Any, expected: Any, ask: Ask, shape: tuple[int, ...]
    ) -> None:
        floats = (digits / np.float32(255)).reshape(-1, *shape).tolist()

        probabilities = ask(client, floats)

        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("ask", ASKS)
    def test_for_pictures_equal_those_of_predict(
        self, client: httpx.Client, digits: Any, expected: Any, ask: Ask
    ) -> None:
        pictures = [{"b64": b64encode(encoded(picture)).decode()} for picture in digits]

        probabilities = ask(client, pictures)

        np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-6)

    def test_for_a_photo_equal_those_of_predict(self, client: httpx.Client) -> None:
        photo = (EXAMPLES / "photo.jpg").read_bytes()
        predicted = client.post("/predict", content=photo, headers={"content-type": "image/jpeg"}).json()

        assert rows(client, [PHOTO]) == [predicted["probabilities"]]
        assert answer(client, PREDICT, {"inputs": PHOTO})["outputs"] == [predicted["probabilities"]]

    def test_for_floats_are_made_without_normalization(self, client: httpx.Client) -> None:
        shifted = np.roll(SEVEN.reshape(28, 28), 5, axis=0)
        raw: dict[str, Any] = {"content": shifted.tobytes(), "headers": {"content-type": "application/octet-stream"}}
        untouched = client.post("/predict", params={"normalize": "never"}, **raw).json()["probabilities"]

        (probabilities,) = rows(client, [(shifted / np.float32(255)).tolist()])

        np.testing.assert_allclose(probabilities, untouched, rtol=0, atol=1e-6)

    def test_for_a_blank_picture_of_floats_exist(self, client: httpx.Client) -> None:
        (probabilities,) = rows(client, [[0] * 784])

        assert sum(probabilities) == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("/v1/models/mnist-dense%3Apredict", id="percent-encoded"),
            pytest.param(f"/v1/models/mnist-dense/versions/{SHIPPED_VERSION}:predict", id="of a version"),
            pytest.param(
                f"/v1/models/mnist-dense/versions/0{SHIPPED_VERSION}:predict", id="of a version with a leading zero"
            ),
        ],
    )
    def test_come_for_each_spelling_of_the_path(self, client: httpx.Client, path: str) -> None:
        reply = client.post(path, json={"instances": [FLAT]})

        assert np.argmax(reply.json()["predictions"]) == 7
        assert reply.headers["x-model-version"] == str(SHIPPED_VERSION)

    @pytest.mark.parametrize("name", ["serving_default", "", None])
    def test_come_for_each_way_to_name_the_signature(self, client: httpx.Client, name: str | None) -> None:
        assert len(answer(client, PREDICT, {"signature_name": name, "instances": [FLAT]})["predictions"]) == 1

    @pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
    def test_come_whatever_the_content_type(self, client: httpx.Client, kind: str | None) -> None:
        headers = {"content-type": kind} if kind else {}

        reply = client.post(PREDICT, content=json.dumps({"instances": [FLAT]}), headers=headers)

        assert reply.status_code == 200

    @pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
    @pytest.mark.parametrize("count", [pytest.param(1, id="short"), pytest.param(100, id="long")])
    def test_come_for_a_compressed_body(
        self, client: httpx.Client, encoding: str, compress: Callable[[bytes], bytes], count: int
    ) -> None:
        body = compress(json.dumps({"instances": [FLAT] * count}).encode())

        reply = client.post(PREDICT, content=body, headers={"content-encoding": encoding})

        assert len(reply.json()["predictions"]) == count

    def test_from_invocations_come_for_each_body_that_predict_takes(self, client: httpx.Client) -> None:
        (probabilities,) = invocations(client, [PNG])
        png, raw = (EXAMPLES / "seven.png").read_bytes(), SEVEN.tobytes()

        bodies: list[dict[str, Any]] = [
            {"content": png, "headers": {"content-type": "image/png"}},
            {"content": raw, "headers": {"content-type": "application/octet-stream"}},
            {"files": {"file": png}},
        ]
        for body in bodies:
            reply = client.post("/invocations", **body)
            assert reply.json() == {"predictions": [probabilities]}
            assert reply.headers["x-model-version"] == str(SHIPPED_VERSION)


class TestStatus:
    def test_satisfies_both_tensorflow_serving_and_kserve(self, client: httpx.Client) -> None:
        reply = client.get(MODEL_PATH)

        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        assert reply.json() == {
            "name": "mnist-dense",
            "ready": True,
            "model_version_status": [
                {
                    "version": str(SHIPPED_VERSION),
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ],
        }
        assert client.get(f"{MODEL_PATH}/versions/{SHIPPED_VERSION}").json() == reply.json()
        assert client.head(MODEL_PATH).status_code == 200
        assert client.get("/v1/models").json() == {"models": ["mnist-dense"]}

    def test_metadata_has_the_shape_of_tensorflow_serving(self, client: httpx.Client) -> None:
        reply = client.get(f"{MODEL_PATH}/metadata")

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
        assert client.get(f"{MODEL_PATH}/versions/{SHIPPED_VERSION}/metadata").json() == reply.json()

    def test_ping_answers_sagemaker_and_mlflow(self, client: httpx.Client) -> None:
        reply = client.get("/ping")

        assert (reply.status_code, reply.text) == (200, "\n")

    def test_is_503_without_a_model(self, start_service: StartService, bare_checkout: Path, tmp_path: Path) -> None:
        damaged = publish_tiny(tmp_path / "models")
        (damaged.folder / MODEL).unlink()
        service = start_service(MNIST_MODEL_DIR=str(tmp_path / "models"), cwd=str(bare_checkout))
        service.wait_for_status("/ping", 503)

        status = service.client.get(MODEL_PATH)
        refusals = [
            service.client.post(PREDICT, json={"instances": [FLAT]}),
            service.client.get(f"{MODEL_PATH}/metadata"),
            service.client.get(f"{MODEL_PATH}/versions/77"),
        ]

        assert status.status_code == 503
        assert status.json()["ready"] is False
        assert status.json()["model_version_status"] == [
            {
                "version": str(damaged.manifest.version),
                "state": "END",
                "status": {"error_code": "FAILED_PRECONDITION", "error_message": "model.onnx: missing"},
            }
        ]
        for refusal in refusals:
            assert refusal.status_code == 503
            assert refusal.headers["retry-after"] == str(RETRY_SECONDS)
            assert list(refusal.json()) == ["error"]


class TestVersions:
    FIRST, SECOND, THIRD, DAMAGED = range(SHIPPED_VERSION + 1, SHIPPED_VERSION + 5)

    @pytest.fixture(scope="class")
    @staticmethod
    def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
        """The third version is served, the first and the second are loaded beside it, and a fourth one is damaged."""
        root = tmp_path_factory.mktemp("several") / "models"
        for seed in range(3):
            publish_tiny(root, seed)
        (publish_tiny(root, 3).folder / MODEL).unlink()
        settings = {
            "MNIST_MODEL_DIR": str(root),
            "MNIST_MODEL_VERSIONS": str(TestVersions.FIRST),
            "MNIST_MODEL_LABELS": f"stable={TestVersions.SECOND},gone=99",
        }
        service = Service(root.parent / "service.log", settings).wait_until_ready()
        yield service
        service.stop()

    @pytest.mark.parametrize(
        ("path", "version"),
        [
            pytest.param("", THIRD, id="without a version"),
            pytest.param(f"/versions/{FIRST}", FIRST, id="by number"),
            pytest.param(f"/versions/{THIRD}", THIRD, id="the served one by number"),
            pytest.param("/labels/stable", SECOND, id="by label"),
        ],
    )
    def test_each_version_answers_with_its_own_network(self, several: Service, path: str, version: int) -> None:
        expected = run_graph(make_graph(version - self.FIRST), np.array([FLAT], np.float32))

        reply = several.client.post(f"{MODEL_PATH}{path}:predict", json={"instances": [FLAT]})

        np.testing.assert_allclose(reply.json()["predictions"], expected, rtol=0, atol=1e-6)
        assert reply.headers["x-model-version"] == str(version)
        metadata = several.client.get(f"{MODEL_PATH}{path}/metadata").json()
        assert metadata["model_spec"]["version"] == str(version)

    @pytest.mark.parametrize(
        ("path", "status", "states"),
        [
            pytest.param(
                "",
                200,
                f"{DAMAGED} END {THIRD} AVAILABLE {SECOND} AVAILABLE {FIRST} AVAILABLE",
                id="all",
            ),
            pytest.param(f"/versions/{FIRST}", 200, f"{FIRST} AVAILABLE", id="by number"),
            pytest.param("/labels/stable", 200, f"{SECOND} AVAILABLE", id="by label"),
            pytest.param(f"/versions/{DAMAGED}", 503, f"{DAMAGED} END", id="a damaged one"),
        ],
    )
    def test_their_states_are_reported(self, several: Service, path: str, status: int, states: str) -> None:
        reply = several.client.get(MODEL_PATH + path)

        told = [f"{each['version']} {each['state']}" for each in reply.json()["model_version_status"]]
        assert (reply.status_code, " ".join(told)) == (status, states)
        assert reply.json()["ready"] is (status == 200)

    @pytest.mark.parametrize(
        ("method", "path", "said"),
        [
            pytest.param(
                "POST",
                "/versions/77:predict",
                "Servable not found for request: Specific(mnist-dense, 77)",
                id="a version",
            ),
            pytest.param(
                "POST",
                f"/versions/{SHIPPED_VERSION}:predict",
                f"Specific(mnist-dense, {SHIPPED_VERSION})",
                id="one that is not loaded",
            ),
            pytest.param("POST", "/labels/new:predict", "Unrecognized servable version label: new", id="a label"),
            pytest.param("POST", "/labels/gone:predict", "Specific(mnist-dense, 99)", id="a label without its version"),
            pytest.param(
                "GET", "/versions/77", "Could not find version 77 of model mnist-dense", id="a version's status"
            ),
            pytest.param("GET", "/labels/new", "Unrecognized servable version label: new", id="a label's status"),
            pytest.param("GET", "/versions/77/metadata", "Specific(mnist-dense, 77)", id="a version's metadata"),
            pytest.param("GET", "/versions/" + "9" * 5000, "Could not find version 9", id="a long number"),
        ],
    )
    def test_an_unknown_version_is_not_found(self, several: Service, method: str, path: str, said: str) -> None:
        reply = several.client.request(method, MODEL_PATH + path, json={"instances": [FLAT]})

        assert reply.status_code == 404
        assert said in reply.json()["error"]
        assert len(reply.text) < 300


def instances(*pictures: Any) -> dict[str, Any]:
    return {"instances": pictures}


RECORD = dict(zip(map(str, range(784)), FLAT, strict=True))
NAN = b'{"instances":[[NaN' + b",0" * 783 + b"]]}"
MANY = json.dumps(instances(*[[0] * 784] * 1025)).encode()


class TestErrors:
    @pytest.mark.parametrize(
        ("body", "status", "said"),
        [
            pytest.param(b"", 400, "JSON Parse error: ", id="empty"),
            pytest.param(b"{", 400, "JSON Parse error: ", id="invalid JSON"),
            pytest.param(NAN, 400, "JSON Parse error: ", id="NaN"),
            pytest.param(NAN.replace(b"NaN", b"Infinity"), 400, "JSON Parse error: ", id="Infinity"),
            pytest.param([FLAT], 400, "JSON Value: Is not object", id="a list"),
            pytest.param({}, 400, "Missing 'inputs' or 'instances' key", id="an empty object"),
            pytest.param(
                {"pixels": FLAT}, 400, "Missing 'inputs' or 'instances' key; received 'pixels'", id="as /predict"
            ),
            pytest.param(
                {"inputs": [FLAT], **instances(FLAT)}, 400, "expecting only one of 'inputs' or 'instances'", id="both"
            ),
            pytest.param({"instances": "seven"}, 400, "Expecting 'instances' to be an list/array", id="not a list"),
            pytest.param({"instances": []}, 400, "No values in 'instances' array", id="an empty list"),
            pytest.param(
                {"signature_name": "seven", **instances(FLAT)},
                400,
                'Serving signature name: "seven" not found in signature def',
                id="another signature",
            ),
            pytest.param(
                {"signature_name": {}, **instances(FLAT)},
                400,
                "Serving signature name: ",
                id="an object for a signature",
            ),
            pytest.param(
                {"signature_name": 7, **instances(FLAT)}, 400, "Serving signature name: ", id="a number for a signature"
            ),
            pytest.param(
                instances(FLAT, FLAT[1:]),
                400,
                "Failed to process element: 1 of 'instances' list. Error: Expecting tensor size: 784 but got: 783",
                id="too few",
            ),
            pytest.param(instances(ROWS[1:]), 400, "Expecting tensor size: 784 but got: 756", id="a row too few"),
            pytest.param(
                instances([*ROWS[1:], ROWS[0][1:]]),
                400,
                "Encountered list at unexpected size: 27 at level: 1 expected size: 28",
                id="a row too short",
            ),
            pytest.param(
                instances([*ROWS[1:], 0.5]),
                400,
                "Encountered list at unexpected size: 1 at level: 1",
                id="a number among rows",
            ),
            pytest.param(
                {"instances": FLAT},
                400,
                "element: 0 of 'instances' list. Error: expected 784 floats",
                id="numbers for pictures",
            ),
            pytest.param(
                {"inputs": FLAT},
                400,
                "element: 0 of 'inputs' list. Error: expected 784 floats",
                id="a picture for a column",
            ),
            pytest.param(
                instances({"pixels": FLAT}), 400, "keys must be equal to: features; received pixels", id="another name"
            ),
            pytest.param(
                {"inputs": {"pixels": [FLAT]}},
                400,
                "Missing named input: features in 'inputs' object.",
                id="another name of a column",
            ),
            pytest.param(
                instances(SEVEN.tolist()),
                400,
                "expected numbers from 0 to 1; some are outside. Send 0 to 255 to /predict",
                id="pixels from 0 to 255",
            ),
            pytest.param(instances([-0.1, *FLAT[1:]]), 400, "expected numbers from 0 to 1", id="a negative number"),
            pytest.param(instances([True, *FLAT[1:]]), 400, "expected numbers, received a boolean", id="a boolean"),
            pytest.param(instances(["0.5", *FLAT[1:]]), 400, "expected numbers, received a string", id="a string"),
            pytest.param(
                instances([[], *FLAT[1:]]), 400, "Expecting tensor size: 784 but got: 783", id="a list among numbers"
            ),
            pytest.param(
                instances([*FLAT[1:], []]), 400, "expected numbers, received a list", id="a list after numbers"
            ),
            pytest.param(
                instances({"b64": "?"}),
                400,
                "element: 0 of 'instances' list. Error: expected a picture in base64",
                id="not base64",
            ),
            pytest.param(instances({"b64": 7}), 400, "expected a picture in base64", id="a number for base64"),
            pytest.param(
                instances(PNG, FLAT),
                400,
                "element: 1 of 'instances' list. Error: expected a picture in base64",
                id="floats after a picture",
            ),
            pytest.param(
                instances(FLAT, PNG),
                400,
                "element: 1 of 'instances' list. Error: expected 784 floats",
                id="a picture after floats",
            ),
            pytest.param(instances({"b64": "c2V2ZW4="}), 400, "expected a PNG", id="not a picture"),
            pytest.param(
                instances({"b64": b64encode(encoded(np.zeros((28, 28), np.uint8))).decode()}),
                400,
                "no ink",
                id="a picture without ink",
            ),
            pytest.param(MANY, 413, "expected at most 1024 pictures, received 1025", id="too many pictures"),
            pytest.param(
                b'{"instances":[' + b"{}," * 20_000 + b"{}]}", 400, "received 20002 objects", id="many objects"
            ),
            pytest.param(b'{"instances":[' + b'"",' * 20_000 + b'""]}', 400, "and 20002 strings", id="many strings"),
            pytest.param(
                b" " * 16 * 1024 * 1024 + b"{}", 413, "expected a body of at most 16777216 bytes", id="too large"
            ),
        ],
    )
    def test_a_wrong_body_is_explained(self, client: httpx.Client, body: Any, status: int, said: str) -> None:
        reply = client.post(PREDICT, content=body if isinstance(body, bytes) else json.dumps(body))

        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
        assert list(reply.json()) == ["error"]
        assert said in reply.json()["error"]
        assert len(reply.text) < 400

    @pytest.mark.parametrize(
        ("method", "path", "status", "said"),
        [
            pytest.param(
                "POST",
                "/v1/models/other:predict",
                404,
                "Servable not found for request: Latest(other)",
                id="another model",
            ),
            pytest.param(
                "POST",
                "/v1/models/other/versions/1:predict",
                404,
                "Servable not found for request: Specific(other, 1)",
                id="its version",
            ),
            pytest.param("GET", "/v1/models/other", 404, "Could not find any versions of model other", id="its status"),
            pytest.param(
                "GET",
                "/v1/models/other/metadata",
                404,
                "Servable not found for request: Latest(other)",
                id="its metadata",
            ),
            pytest.param(
                "POST", f"{MODEL_PATH}:explain", 404, f"Malformed request: POST {MODEL_PATH}:explain", id="another verb"
            ),
            pytest.param("POST", f"{PREDICT}/", 404, f"Malformed request: POST {PREDICT}/", id="a slash too many"),
            pytest.param(
                "POST", f"{MODEL_PATH}/versions/one:predict", 404, "Malformed request: POST", id="not a number"
            ),
            pytest.param("GET", "/v1", 404, "Malformed request: GET /v1", id="the root"),
            pytest.param("GET", "/v1/nothing", 404, "Malformed request: GET /v1/nothing", id="an unknown path"),
            pytest.param("GET", "/v1/a%0Ab", 404, "Malformed request: GET /v1/a", id="a path with a line break"),
            pytest.param("GET", PREDICT, 405, "expected POST, received GET", id="a GET for a prediction"),
            pytest.param(
                "POST",
                MODEL_PATH,
                405,
                "expected GET, HEAD, received POST",
                id="a POST for a status",
            ),
            pytest.param("DELETE", "/v1/models", 405, "expected GET, HEAD, received DELETE", id="a DELETE"),
        ],
    )
    def test_a_wrong_path_is_explained(
        self, client: httpx.Client, method: str, path: str, status: int, said: str
    ) -> None:
        reply = client.request(method, path)

        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/json")
        assert said in reply.json()["error"]
        assert ("allow" in reply.headers) == (status == 405)

    @pytest.mark.parametrize(
        ("verb", "body", "said"),
        [
            pytest.param(
                "classify", instances(FLAT), "When method is classify, key 'examples' is expected", id="instances"
            ),
            pytest.param("classify", {"examples": []}, "No values in 'examples' array", id="no examples"),
            pytest.param("classify", {"examples": [{"x": 1}]}, "keys must be equal to: features", id="another feature"),
            pytest.param(
                "regress",
                {"examples": [{"features": FLAT}]},
                "Expected regression signature method_name to be tensorflow/serving/regress. Was: tensorflow/",
                id="regress",
            ),
        ],
    )
    def test_wrong_examples_are_explained(self, client: httpx.Client, verb: str, body: Any, said: str) -> None:
        reply = client.post(f"{MODEL_PATH}:{verb}", json=body)

        assert reply.status_code == 400
        assert said in reply.json()["error"]

    @pytest.mark.parametrize(
        ("body", "encoding", "status"),
        [
            pytest.param(gzip.compress(b"0" * 17 * 1024 * 1024), "gzip", 413, id="large once inflated"),
            pytest.param(b"seven", "gzip", 400, id="not gzip"),
            pytest.param(gzip.compress(b"{}")[:-1], "gzip", 400, id="a part of gzip"),
            pytest.param(b"{}", "br", 415, id="another encoding"),
        ],
    )
    def test_a_wrong_compressed_body_is_refused(
        self, client: httpx.Client, body: bytes, encoding: str, status: int
    ) -> None:
        reply = client.post(PREDICT, content=body, headers={"content-encoding": encoding})

        assert reply.status_code == status
        assert list(reply.json()) == ["error"]

    @pytest.mark.parametrize(
        ("frame", "said"),
        [
            pytest.param({}, "Expecting 'dataframe_records' to be an list/array; received an object", id="an object"),
            pytest.param([], "No values in 'dataframe_records' array", id="no record"),
            pytest.param([FLAT], "element: 0 of 'dataframe_records' list. Error: expected an object", id="a list"),
            pytest.param(
                [RECORD, FLAT], "element: 1 of 'dataframe_records' list. Error: expected an object", id="both"
            ),
            pytest.param([{}], "expected 784 columns or one, 'features', received 0 columns", id="no column"),
            pytest.param([{"pixels": FLAT}], "expected 784 columns or one, 'features', received 1", id="another name"),
            pytest.param([{**RECORD, "label": 7}], "received 785 columns", id="a column too many"),
            pytest.param(
                [RECORD, dict(reversed(RECORD.items()))],
                "element: 1 of 'dataframe_records' list. Error: expected the columns of element 0 in their order, "
                "received others from column 0 on",
                id="another order",
            ),
            pytest.param(
                [RECORD, {**RECORD, "label": 7}],
                "element: 1 of 'dataframe_records' list. Error: expected the columns "
                "of element 0 in their order, received others from column 784 on",
                id="one more than the first",
            ),
            pytest.param([RECORD, {"features": FLAT}], "received others from column 0 on", id="one column after many"),
            pytest.param([{**RECORD, "0": None}], "expected numbers, received null", id="null for a value"),
            pytest.param([{**RECORD, "0": 255}], "expected numbers from 0 to 1", id="a pixel from 0 to 255"),
            pytest.param([dict.fromkeys(map(str, range(40_000)), 0)], "and 40001 strings", id="40 000 columns"),
            pytest.param([RECORD] * 1025, "expected at most 8388608 bytes of JSON", id="too many"),
        ],
    )
    def test_wrong_records_are_explained(self, client: httpx.Client, frame: Any, said: str) -> None:
        reply = client.post("/invocations", json={"dataframe_records": frame})

        status = 413 if len(frame) > 1024 else 422
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
        assert said in reply.json()["detail"]

    def test_errors_of_invocations_are_problem_details(self, client: httpx.Client) -> None:
        refused = client.post("/invocations", json=instances(FLAT[1:]))
        unknown = client.post("/invocations", content=b"0,1", headers={"content-type": "text/csv"})

        assert (refused.status_code, unknown.status_code) == (422, 415)
        assert refused.headers["content-type"] == unknown.headers["content-type"] == "application/problem+json"
        assert client.get("/invocations").status_code == 405
