"""The clients of Triton and KServe find the service ready, and get the probabilities of the network."""

import asyncio
import importlib
import warnings
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton_http
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from digits.features import Floats, Grey
from digits.model.artifact import NAME
from tests.app.conftest import Service, cases
from tests.app.dialects import SEVEN, triton_grpc
from tests.conftest import SHIPPED_VERSION, encoded

pytestmark = pytest.mark.slow


class Triton:
    def __init__(self, service: Service, *, over_grpc: bool) -> None:
        self.over_grpc = over_grpc
        self.module: Any = triton_grpc() if over_grpc else triton_http
        address = service.grpc_target if over_grpc else service.url.removeprefix("http://")
        self.client = self.module.InferenceServerClient(address)

    def is_ready(self) -> list[bool]:
        return [self.client.is_server_live(), self.client.is_server_ready(), self.client.is_model_ready(NAME)]

    def input(self, array: NDArray[Any], datatype: str, **binary: bool) -> Any:
        tensor = self.module.InferInput("features", list(array.shape), datatype)
        tensor.set_data_from_numpy(array, **binary)
        return tensor

    def infer(
        self, array: NDArray[Any], datatype: str, *, binary: bool = True, binary_reply: bool = True, **options: Any
    ) -> tuple[Any, Any]:
        """Return probabilities and digits."""
        reply = {} if self.over_grpc else {"binary_data": binary_reply}
        outputs = [self.module.InferRequestedOutput(name, **reply) for name in ("probabilities", "digit")]
        tensor = self.input(array, datatype, **({} if self.over_grpc else {"binary_data": binary}))
        answer = self.client.infer(NAME, [tensor], outputs=outputs, **options)
        return answer.as_numpy("probabilities"), answer.as_numpy("digit")


class Kserve:
    def __init__(self, service: Service, *, over_grpc: bool) -> None:
        with warnings.catch_warnings():  # about itself
            warnings.simplefilter("ignore")
            self.kserve = importlib.import_module("kserve")
        self.service = service
        self.over_grpc = over_grpc

    def ask(self, question: Callable[[Any], Awaitable[Any]], protocol: str = "v2") -> Any:
        async def asked() -> Any:
            if self.over_grpc:
                client = self.kserve.InferenceGRPCClient(self.service.grpc_target)
            else:
                client = self.kserve.InferenceRESTClient(self.kserve.RESTConfig(protocol=protocol))
            async with client:
                return await question(client)

        return asyncio.run(asked())

    def is_ready(self) -> list[bool]:
        url = () if self.over_grpc else (self.service.url,)
        return [
            self.ask(lambda client: client.is_server_live(*url)),
            self.ask(lambda client: client.is_server_ready(*url)),
            self.ask(lambda client: client.is_model_ready(*url, NAME)),
        ]

    def infer(
        self, array: NDArray[Any], datatype: str, *, binary: bool = True, binary_reply: bool = True
    ) -> tuple[Any, Any]:
        """Return probabilities and digits."""
        tensor = self.kserve.InferInput("features", list(array.shape), datatype)
        tensor.set_data_from_numpy(array, binary_data=binary)
        output = importlib.import_module("kserve.protocol.infer_type").RequestedOutput
        outputs = [output(name, {"binary_data": binary_reply}) for name in ("probabilities", "digit")]
        request = self.kserve.InferRequest(NAME, [tensor], request_id="42", request_outputs=outputs)
        url = () if self.over_grpc else (self.service.url,)
        model = () if self.over_grpc else (NAME,)
        answer = self.ask(lambda client: client.infer(*url, request, *model))
        assert (answer.model_name, answer.id) == (NAME, "42")
        probabilities, digit = (output.as_numpy() for output in answer.outputs)
        return probabilities, digit


CLIENTS: dict[str, tuple[Any, str]] = {
    f"{kind.__name__}, {protocol}": (kind, protocol) for kind in (Triton, Kserve) for protocol in ("HTTP", "gRPC")
}


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest, service: Service) -> Iterator[Triton | Kserve]:
    kind, protocol = CLIENTS[request.param]
    client = kind(service, over_grpc=protocol == "gRPC")
    yield client
    if isinstance(client, Triton):
        client.client.close()


each_client = pytest.mark.parametrize("client", CLIENTS, indirect=True)


@each_client
def test_a_client_finds_server_and_model_ready(client: Triton | Kserve) -> None:
    assert client.is_ready() == [True] * 3


@cases(
    ("datatype", "side", "options"),
    {
        "FP32": ("FP32", (784,), {}),
        "FP32, JSON or typed contents": ("FP32", (784,), {"binary": False, "binary_reply": False}),
        "FP32 in rows, JSON reply": ("FP32", (28, 28), {"binary_reply": False}),
        "UINT8 in rows": ("UINT8", (28, 28), {}),
        "UINT8, JSON or typed contents": ("UINT8", (784,), {"binary": False}),
        "files": ("BYTES", (), {}),
    },
)
@each_client
def test_a_client_gets_the_probabilities_of_the_network(
    client: Triton | Kserve, digits: Grey, expected: Floats, datatype: str, side: tuple[int, ...], options: Any
) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "FP32": (digits / 255).astype(np.float32),
        "UINT8": digits,
        "BYTES": np.array([encoded(digit) for digit in digits], dtype=object),
    }

    probabilities, digit = client.infer(arrays[datatype].reshape(len(digits), *side), datatype, **options)

    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert digit.tolist() == expected.argmax(axis=1).tolist()


@pytest.mark.parametrize("over_grpc", [False, True], ids=["HTTP", "gRPC"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary reply", "JSON reply"])
def test_a_client_gets_the_trust_that_predict_reports(
    service: Service, digits: Grey, *, over_grpc: bool, binary: bool
) -> None:
    pictures = np.concatenate([digits, np.roll(digits, 5, axis=1), digits.transpose(0, 2, 1)])
    predictions = service.client.post("/predict", json={"instances": pictures.tolist()}).json()["predictions"]
    triton = Triton(service, over_grpc=over_grpc)
    described = triton.client.get_model_metadata(NAME, **({"as_json": True} if over_grpc else {}))["outputs"]
    names = [output["name"] for output in described]
    options = {} if over_grpc else {"binary_data": binary}

    outputs = [triton.module.InferRequestedOutput(name, **options) for name in names]
    answer = triton.client.infer(NAME, [triton.input(pictures, "UINT8")], outputs=outputs)

    assert names == ["probabilities", "digit", "accept", "is_digit", "novelty", "prediction_set"]
    for output in described:
        values = answer.as_numpy(output["name"])
        assert values.dtype == triton_to_np_dtype(output["datatype"])
        assert values.shape == (len(pictures), *map(int, output["shape"][1:]))
    for name in ("probabilities", "digit", "accept", "is_digit", "novelty"):
        sent = np.array([prediction[name] for prediction in predictions], answer.as_numpy(name).dtype)
        np.testing.assert_allclose(answer.as_numpy(name), sent, rtol=1e-4, atol=1e-6)
    members = [np.flatnonzero(row).tolist() for row in answer.as_numpy("prediction_set")]
    assert members == [prediction["prediction_set"] for prediction in predictions]
    assert {prediction["accept"] for prediction in predictions} == {True, False}
    assert max(map(len, members)) > 1
    triton.client.close()


def test_the_statistics_count_the_requests_of_the_service(service: Service) -> None:
    triton = Triton(service, over_grpc=False)

    def counts() -> dict[Any, Any]:
        (stats,) = triton.client.get_inference_statistics(NAME)["model_stats"]
        assert (stats["name"], stats["version"]) == (NAME, str(SHIPPED_VERSION))
        assert all(spent["ns"] > 0 for spent in stats["inference_stats"].values() if spent["count"])
        of_batch = {batch["batch_size"]: batch["compute_infer"]["count"] for batch in stats["batch_stats"]}
        parts = {part: spent["count"] for part, spent in stats["inference_stats"].items()}
        return {"inferences": stats["inference_count"], "executions": stats["execution_count"], **parts, **of_batch}

    before = counts()
    for _ in range(10):
        triton.infer(np.repeat(SEVEN[None], 3, 0), "UINT8")
    with pytest.raises(InferenceServerException):
        triton.infer(SEVEN.astype(np.float32)[None], "FP32")

    after = counts()
    triton.client.close()
    added = {part: count - before.get(part, 0) for part, count in after.items()}
    tens = ["executions", "success", "queue", "compute_input", "compute_infer", "compute_output", 3]
    expected = {"inferences": 30, "fail": 1, **dict.fromkeys(tens, 10)}
    assert {part: count for part, count in added.items() if count} == expected


def test_kserves_client_of_the_first_protocol_gets_predictions_and_errors(
    service: Service, digits: Grey, expected: NDArray[np.float32]
) -> None:
    client = Kserve(service, over_grpc=False)
    features = (digits.reshape(-1, 784) / 255).tolist()

    def infer(instances: Any) -> Any:
        return client.ask(lambda one: one.infer(service.url, {"instances": instances}, NAME), "v1")

    assert client.ask(lambda one: one.is_model_ready(service.url, NAME), "v1") is True
    np.testing.assert_allclose(infer(features)["predictions"], expected, atol=1e-6)
    with pytest.raises(httpx.HTTPStatusError, match="Expecting tensor size: 784 but got: 783"):
        infer([features[0][1:]])
