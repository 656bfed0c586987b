"""The Open Inference Protocol of a real service, with Triton's own client and with bare HTTP."""

import base64
import gzip
import json
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from app.openapi.example_pictures import EXAMPLES
from digits.features import Grey
from digits.model.artifact import MODEL
from tests.app.conftest import NEW_KEY, Reloading, Service, StartService
from tests.conftest import SHIPPED_VERSION, SHIPPED_VERSIONS, encoded, publish_tiny

NAME = "mnist-dense"
INFER = f"/v2/models/{NAME}/infer"
SEVEN = np.frombuffer((EXAMPLES / "seven.bin").read_bytes(), np.uint8).reshape(28, 28)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(service.url.removeprefix("http://"))
    yield client
    client.close()


def tensor(array: NDArray[Any], datatype: str, *, binary: bool = True) -> triton.InferInput:
    made = triton.InferInput("features", list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def as_bytes(pictures: Grey) -> NDArray[np.object_]:
    return np.array([encoded(picture) for picture in pictures], dtype=object)


class TestTritonsClient:
    """tritonclient[http], called as its users call it."""

    def test_it_finds_the_server_live_and_ready(self, client: triton.InferenceServerClient) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(NAME)
        assert client.is_model_ready(NAME, str(SHIPPED_VERSION))
        assert not client.is_model_ready(NAME, "77")
        assert not client.is_model_ready("resnet")

    def test_it_reads_the_metadata(self, client: triton.InferenceServerClient) -> None:
        assert client.get_server_metadata()["name"] == "digits"
        assert client.get_model_metadata(NAME) == {
            "name": NAME,
            "versions": [str(SHIPPED_VERSION)],
            "platform": "onnx_onnxv1",
            "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 784]}],
            "outputs": [
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
                {"name": "digit", "datatype": "INT64", "shape": [-1]},
            ],
        }
        assert client.get_model_config(NAME)["max_batch_size"] == 1024
        newest, *others = client.get_model_repository_index()
        assert newest == {"name": NAME, "version": str(SHIPPED_VERSION), "state": "READY", "reason": ""}
        assert [(known["version"], known["state"]) for known in others] == [
            (str(number), "UNAVAILABLE") for number in SHIPPED_VERSIONS[1:]
        ]

    @pytest.mark.parametrize("side", [pytest.param((784,), id="784"), pytest.param((28, 28), id="28x28")])
    @pytest.mark.parametrize("binary_reply", [True, False], ids=["binary reply", "JSON reply"])
    @pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
    @pytest.mark.parametrize("datatype", ["FP32", "UINT8"])
    def test_it_gets_the_probabilities_of_predict(
        self,
        client: triton.InferenceServerClient,
        digits: Grey,
        expected: NDArray[np.float64],
        datatype: str,
        binary: bool,
        binary_reply: bool,
        side: tuple[int, ...],
    ) -> None:
        pictures = (digits / 255).astype(np.float32) if datatype == "FP32" else digits
        asked = tensor(pictures.reshape(-1, *side), datatype, binary=binary)
        outputs = [triton.InferRequestedOutput(name, binary_data=binary_reply) for name in ("probabilities", "digit")]

        answer = client.infer(NAME, [asked], outputs=outputs)

        np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, atol=1e-6)
        assert answer.as_numpy("digit").tolist() == expected.argmax(axis=1).tolist()

    def test_encoded_pictures_get_the_probabilities_of_predict(
        self, client: triton.InferenceServerClient, digits: Grey, expected: NDArray[np.float64]
    ) -> None:
        answer = client.infer(NAME, [tensor(as_bytes(digits), "BYTES")])

        np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, atol=1e-6)

    def test_a_photo_is_normalized(self, client: triton.InferenceServerClient, service: Service) -> None:
        photo = (EXAMPLES / "photo.jpg").read_bytes()
        ours = service.client.post("/predict", content=photo, headers={"content-type": "image/jpeg"}).json()

        answer = client.infer(NAME, [tensor(np.array([photo], dtype=object), "BYTES")])

        assert answer.as_numpy("digit").tolist() == [ours["digit"]]
        np.testing.assert_allclose(answer.as_numpy("probabilities")[0], ours["probabilities"], atol=1e-6)

    @pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
    def test_compressed_requests_are_accepted(
        self,
        client: triton.InferenceServerClient,
        digits: Grey,
        expected: NDArray[np.float64],
        algorithm: str,
    ) -> None:
        answer = client.infer(
            NAME,
            [tensor(digits, "UINT8")],
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )

        np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, atol=1e-6)

    def test_requests_can_be_asynchronous_and_keep_their_ids(self, client: triton.InferenceServerClient) -> None:
        waiting = [client.async_infer(NAME, [tensor(SEVEN[None], "UINT8")], request_id=str(n)) for n in range(20)]
        answers = [one.get_result() for one in waiting]

        assert [answer.get_response()["id"] for answer in answers] == [str(number) for number in range(20)]
        assert {answer.as_numpy("digit").item() for answer in answers} == {7}

    def test_the_most_probable_classes_can_be_requested(self, client: triton.InferenceServerClient) -> None:
        outputs = [triton.InferRequestedOutput("probabilities", class_count=3)]

        (best, second, _third) = client.infer(NAME, [tensor(SEVEN[None], "UINT8")], outputs=outputs).as_numpy(
            "probabilities"
        )[0]

        assert best.decode().split(":")[1:] == ["7", "7"]
        assert float(best.decode().split(":")[0]) > float(second.decode().split(":")[0])

    def test_the_statistics_count_the_requests_of_all_workers(self, start_service: StartService) -> None:
        service = start_service(MNIST_WORKERS="2").wait_until_ready()
        client = triton.InferenceServerClient(service.url.removeprefix("http://"), concurrency=4)
        for _ in range(10):
            client.infer(NAME, [tensor(np.repeat(SEVEN[None], 3, 0), "UINT8")])
        with pytest.raises(InferenceServerException):
            client.infer(NAME, [tensor(SEVEN.astype(np.float32)[None], "FP32")])

        (counted,) = client.get_inference_statistics(NAME)["model_stats"]

        assert (counted["name"], counted["version"]) == (NAME, str(SHIPPED_VERSION))
        assert (counted["inference_count"], counted["execution_count"]) == (30, 10)
        counts = {part: spent["count"] for part, spent in counted["inference_stats"].items()}
        assert counts == {
            "success": 10,
            "fail": 1,
            "queue": 10,
            "compute_input": 10,
            "compute_infer": 10,
            "compute_output": 10,
            "cache_hit": 0,
            "cache_miss": 0,
        }
        assert all(spent["ns"] > 0 for spent in counted["inference_stats"].values() if spent["count"])
        assert [(batch["batch_size"], batch["compute_infer"]["count"]) for batch in counted["batch_stats"]] == [(3, 10)]
        assert counted["last_inference"] > 1.7e12

    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            pytest.param(
                tensor(SEVEN.astype(np.float32)[None], "FP32"),
                r"\[400\] expected FP32 values from 0 to 1, received other values; send pixels from 0 to 255 as UINT8",
                id="pixels as FP32",
            ),
            pytest.param(
                tensor(SEVEN, "UINT8"),
                r"\[400\] unexpected shape for input 'features': expected \[N,784\] or \[N,28,28\], received \[28, ",
                id="no batch",
            ),
            pytest.param(
                tensor(SEVEN[None].astype(np.int64), "INT64"),
                r"\[400\] expected the datatype FP32, UINT8 or BYTES, received 'INT64'",
                id="another datatype",
            ),
            pytest.param(
                tensor(np.array([b"seven"], dtype=object), "BYTES"),
                r"\[400\] expected a PNG, JPEG, WEBP, BMP, GIF or TIFF picture",
                id="no picture",
            ),
            pytest.param(tensor(np.zeros((1, 784), np.uint8), "UINT8"), r"\[400\] no ink found", id="blank"),
        ],
    )
    def test_a_wrong_tensor_is_explained_to_it(
        self, client: triton.InferenceServerClient, asked: triton.InferInput, message: str
    ) -> None:
        with pytest.raises(InferenceServerException, match=message):
            client.infer(NAME, [asked])

    def test_an_extension_that_is_not_offered_gets_a_501(self, client: triton.InferenceServerClient) -> None:
        with pytest.raises(InferenceServerException, match=r"\[501\] .* is not offered by this server"):
            client.get_trace_settings()


def infer(data: Any, **more: Any) -> dict[str, Any]:
    tensor = {"name": "features", "datatype": "UINT8", "shape": [1, 784], "data": data, **more.pop("tensor", {})}
    return {"inputs": [tensor], **more}


FLAT: list[int] = SEVEN.ravel().tolist()


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2/health/live", "/v2/health/ready", f"/v2/models/{NAME}/ready"])
def test_get_and_head_are_both_answered(service: Service, path: str) -> None:
    got, asked = service.client.get(path), service.client.head(path)

    assert (got.status_code, asked.status_code) == (200, 200)
    assert asked.content == b""
    assert got.json()


def test_the_health_paths_have_a_body_for_kserve(service: Service) -> None:
    assert service.client.get("/v2/health/live").json() == {"live": True}
    assert service.client.get("/v2/health/ready").json() == {"ready": True, "live": True}
    of_version = service.client.get(f"/v2/models/{NAME}/versions/{SHIPPED_VERSION}/ready")
    assert of_version.json() == {"name": NAME, "ready": True}


def test_without_a_model_it_is_not_ready(start_service: StartService, bare_checkout: Path) -> None:
    service = start_service(cwd=bare_checkout)
    service.wait_for_status("/livez", 200)

    ready, live = service.client.get("/v2/health/ready"), service.client.get("/v2/health/live")

    assert ready.status_code == 503
    assert ready.json()["ready"] is False
    assert ready.json()["error"].startswith("no usable version of mnist-dense")
    assert live.status_code == 200
    assert service.client.post(INFER, json=infer(FLAT)).status_code == 503


def test_a_reply_has_every_field_that_clients_read(service: Service) -> None:
    reply = service.client.post(INFER, json=infer(FLAT, id="42"))

    body = reply.json()
    version = str(SHIPPED_VERSION)
    assert {**body, "outputs": None} == {"model_name": NAME, "model_version": version, "id": "42", "outputs": None}
    probabilities, digit = body["outputs"]
    assert {**probabilities, "data": None} == {
        "name": "probabilities",
        "datatype": "FP32",
        "shape": [1, 10],
        "data": None,
    }
    assert digit == {"name": "digit", "datatype": "INT64", "shape": [1], "data": [7]}
    assert reply.headers["x-model-version"] == version


def test_a_request_without_id_gets_an_empty_id(service: Service) -> None:
    assert service.client.post(INFER, json=infer(FLAT)).json()["id"] == ""


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain"])
def test_the_content_type_is_ignored(service: Service, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}

    reply = service.client.post(INFER, content=json.dumps(infer(FLAT)), headers=headers)

    assert reply.json()["outputs"][1]["data"] == [7]


def test_a_raw_request_consists_of_the_bytes_of_one_tensor(service: Service) -> None:
    body = (SEVEN / 255).astype("<f4").tobytes()

    reply = service.client.post(INFER, content=body, headers={"Inference-Header-Content-Length": "0"})

    length = int(reply.headers["inference-header-content-length"])
    header, tail = json.loads(reply.content[:length]), reply.content[length:]
    assert reply.headers["content-type"] == "application/octet-stream"
    assert [output["parameters"]["binary_data_size"] for output in header["outputs"]] == [40, 8]
    assert np.frombuffer(tail[:40], "<f4").argmax() == 7
    assert struct.unpack("<q", tail[40:]) == (7,)


def test_pictures_in_json_are_base64(service: Service) -> None:
    picture = base64.b64encode(encoded(SEVEN)).decode()

    reply = service.client.post(INFER, json=infer([picture], tensor={"datatype": "BYTES", "shape": [1]}))

    assert reply.json()["outputs"][1]["data"] == [7]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(b"", 400, "expected JSON", id="nothing"),
        pytest.param(b"{", 400, "expected JSON", id="invalid JSON"),
        pytest.param(b"[]", 400, "expected an object with 'inputs'", id="a list"),
        pytest.param({}, 400, "expected 'inputs' to be a list of one tensor", id="no inputs"),
        pytest.param({"inputs": [1]}, 400, "expected 'inputs' to be a list of one tensor", id="a number"),
        pytest.param(infer(FLAT, tensor={"name": "image"}), 400, "expected the input 'features'", id="another name"),
        pytest.param(
            infer(FLAT[:-1]), 400, "expected 784 values to match the shape, received 783", id="one value too few"
        ),
        pytest.param(infer([*FLAT[:-1], 256]), 400, "expected whole numbers from 0 to 255", id="256"),
        pytest.param(infer([*FLAT[:-1], "0"]), 400, "expected whole numbers from 0 to 255", id="a string"),
        pytest.param(infer(784), 400, "expected 'data' to be a list", id="a number as data"),
        pytest.param(infer([[1], 2]), 400, "a mixture", id="ragged"),
        pytest.param(infer(FLAT, tensor={"shape": [1, 783]}), 400, "unexpected shape", id="a wrong shape"),
        pytest.param(infer(FLAT, tensor={"shape": [0, 784]}), 400, "unexpected shape", id="no picture"),
        pytest.param(infer(FLAT, tensor={"shape": [True, 784]}), 400, "unexpected shape", id="a boolean in the shape"),
        pytest.param(infer(FLAT, tensor={"shape": [1025, 784]}), 413, "at most 1024 pictures", id="too many"),
        pytest.param(infer(FLAT, id=42), 400, "expected 'id' to be a string", id="a number as id"),
        pytest.param(infer(FLAT, outputs=[{"name": "x"}]), 400, "expected the outputs", id="an unknown output"),
        pytest.param(infer(FLAT, parameters={"a": []}), 400, "expected the parameters", id="a list as parameter"),
        pytest.param(
            infer([True] * 784, tensor={"datatype": "FP32"}), 400, "expected 'data' to contain numbers", id="booleans"
        ),
        pytest.param(infer([-0.1] * 784, tensor={"datatype": "FP32"}), 400, "from 0 to 1", id="negative"),
        pytest.param(
            infer(["!"], tensor={"datatype": "BYTES", "shape": [1]}), 400, "pictures in base64", id="no base64"
        ),
        pytest.param(
            infer(FLAT, outputs=[{"name": "digit", "parameters": {"classification": 2}}]),
            400,
            "'classification' to be a number of classes",
            id="classes of the digit",
        ),
    ],
)
def test_a_wrong_request_is_explained(service: Service, body: Any, status: int, message: str) -> None:
    reply = service.client.post(INFER, content=body if isinstance(body, bytes) else json.dumps(body))

    assert reply.status_code == status, reply.text
    assert set(reply.json()) == {"error"}
    assert message in reply.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", "1e2", "9" * 30])
def test_a_wrong_header_length_is_refused(service: Service, length: str) -> None:
    reply = service.client.post(INFER, content=b"{}", headers={"Inference-Header-Content-Length": length})

    assert reply.status_code == 400
    assert reply.json()["error"].startswith("expected Inference-Header-Content-Length to be a number from 0 to 2, ")


@pytest.mark.parametrize("sizes", [(783, 784), (785, 784), (784, 783), (None, 784), (784, 0), ("784", 784), (-1, 784)])
def test_a_wrong_binary_size_is_refused(service: Service, sizes: tuple[Any, int]) -> None:
    declared, sent = sizes
    parameters = {} if declared is None else {"binary_data_size": declared}
    tensor = {"name": "features", "datatype": "UINT8", "shape": [1, 784], "parameters": parameters}
    header = json.dumps({"inputs": [tensor]}).encode()

    reply = service.client.post(
        INFER, content=header + SEVEN.tobytes()[:sent], headers={"Inference-Header-Content-Length": str(len(header))}
    )

    assert reply.status_code == 400
    assert "binary_data_size" in reply.json()["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/resnet", 404),
        ("GET", f"/v2/models/{NAME}/versions/77", 404),
        ("GET", f"/v2/models/{NAME}/versions/x/ready", 404),
        ("POST", f"/v2/models/{NAME}/versions/{SHIPPED_VERSION}", 405),
        ("POST", f"/v2/models/{NAME}/versions/{SHIPPED_VERSION}/predict", 404),
        ("GET", INFER, 405),
        ("PUT", "/v2", 405),
        ("POST", "/v2/logging", 501),
    ],
)
def test_other_paths_and_methods_are_errors_in_the_protocols_shape(
    service: Service, method: str, path: str, status: int
) -> None:
    reply = service.client.request(method, path)

    assert reply.status_code == status
    assert set(reply.json()) == {"error"}
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        pytest.param(gzip.compress(b"\0" * 20_000_000), "gzip", 413, id="more than the limit"),
        pytest.param(gzip.compress(b"{}")[:-4], "gzip", 400, id="cut short"),
        pytest.param(gzip.compress(b"{}") + b"x", "gzip", 400, id="something after it"),
        pytest.param(zlib.compress(b"{}"), "gzip", 400, id="another compression"),
        pytest.param(b"{}", "br", 415, id="unknown"),
        pytest.param(b"{}", "gzip, gzip", 415, id="twice"),
    ],
)
def test_oversized_and_broken_compressed_bodies_are_refused(
    service: Service, body: bytes, encoding: str, status: int
) -> None:
    reply = service.client.post(INFER, content=body, headers={"content-encoding": encoding})

    assert reply.status_code == status
    assert set(reply.json()) == {"error"}


def test_a_missing_api_key_is_an_error_in_the_protocols_shape(locked: Service) -> None:
    refused = locked.client.post(INFER, json=infer(FLAT))
    answered = locked.client.post(INFER, json=infer(FLAT), headers={"authorization": f"Bearer {NEW_KEY}"})

    assert refused.status_code == 401
    assert set(refused.json()) == {"error"}
    assert answered.status_code == 200


def test_every_loaded_version_can_be_requested(start_service: StartService, tmp_path: Path) -> None:
    first, second, third = (publish_tiny(tmp_path / "models", seed).manifest.version for seed in range(3))
    settings = {"MNIST_MODEL_VERSIONS": f"{SHIPPED_VERSION},{second}"}
    service = start_service(MNIST_MODEL_DIR=str(tmp_path / "models"), **settings).wait_until_ready()

    def ask(path: str) -> httpx.Response:
        return service.client.post(path, json=infer(FLAT))

    loaded = (SHIPPED_VERSION, second, third)
    replies = {number: ask(f"/v2/models/{NAME}/versions/{number}/infer") for number in (*loaded, first)}

    assert ask(INFER).json()["model_version"] == str(third)
    assert {number: reply.status_code for number, reply in replies.items()} == dict.fromkeys(loaded, 200) | {first: 404}
    assert [replies[number].json()["model_version"] for number in loaded] == [str(number) for number in loaded]
    assert replies[SHIPPED_VERSION].json()["outputs"][0]["data"] != replies[second].json()["outputs"][0]["data"]
    assert replies[first].json() == {
        "error": f"version {first} of mnist-dense is not loaded; loaded versions: {SHIPPED_VERSION}, {second}, {third}"
    }
    assert service.client.get(f"/v2/models/{NAME}").json()["versions"] == [str(number) for number in loaded]


def test_the_repository_index_says_which_versions_are_ready(start_service: StartService, tmp_path: Path) -> None:
    first, second, third = (publish_tiny(tmp_path / "models", seed).manifest.version for seed in range(3))
    damaged = publish_tiny(tmp_path / "models", 3)
    (damaged.folder / MODEL).unlink()
    settings = {"MNIST_MODEL_VERSIONS": str(SHIPPED_VERSION), "MNIST_MODEL_LABELS": f"stable={first}"}
    service = start_service(MNIST_MODEL_DIR=str(tmp_path / "models"), **settings).wait_until_ready()

    index = service.client.post("/v2/repository/index").json()

    assert [(known["version"], known["state"], known["reason"]) for known in index] == [
        (str(damaged.manifest.version), "UNAVAILABLE", "model.onnx: missing"),
        (str(third), "READY", ""),
        (str(second), "UNAVAILABLE", ""),
        (str(first), "READY", ""),
        (str(SHIPPED_VERSION), "READY", ""),
        *((str(number), "UNAVAILABLE", "") for number in SHIPPED_VERSIONS[1:]),
    ]
    assert {known["name"] for known in index} == {NAME}


def test_the_repository_index_keeps_a_loaded_version_whose_folder_is_gone(
    start_service: StartService, tmp_path: Path
) -> None:
    loaded, served = (publish_tiny(tmp_path / "models", seed) for seed in range(2))
    kept = loaded.manifest.version
    settings = {"MNIST_MODEL_VERSIONS": str(kept), "MNIST_RELOAD_SECONDS": "0.1"}
    service = start_service(MNIST_MODEL_DIR=str(tmp_path / "models"), **settings).wait_until_ready()

    shutil.rmtree(loaded.folder)
    reloading = Reloading(service, tmp_path / "models")
    reloading.wait_for(lambda: len(reloading.versions()) == 1 + len(SHIPPED_VERSIONS))

    index = service.client.post("/v2/repository/index").json()
    assert [(known["version"], known["state"]) for known in index] == [
        (str(served.manifest.version), "READY"),
        (str(kept), "READY"),
        *((str(number), "UNAVAILABLE") for number in SHIPPED_VERSIONS),
    ]
    assert service.client.post(f"/v2/models/{NAME}/versions/{kept}/infer", json=infer(FLAT)).status_code == 200
