"""KServe's own clients with all of their protocols, against a real service."""

import asyncio
import base64
import importlib
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from app.openapi.example_pictures import EXAMPLES
from digits.features import Grey
from digits.model.artifact import NAME
from tests.app.conftest import Service, grpc_target
from tests.conftest import SHIPPED_VERSION, Mnist, encoded

Ask = Callable[[str, Callable[[Any], Awaitable[Any]]], Any]


@pytest.fixture(scope="module")
def kserve() -> Any:
    """The package. Its import emits warnings about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("kserve")


@pytest.fixture(scope="module")
def ask(kserve: Any) -> Ask:
    """Return a function that awaits `ask("v2", lambda client: client.infer(...))` with a client of that protocol."""

    async def asked(protocol: str, question: Callable[[Any], Awaitable[Any]]) -> Any:
        async with kserve.InferenceRESTClient(kserve.RESTConfig(protocol=protocol)) as client:
            return await question(client)

    return lambda protocol, question: asyncio.run(asked(protocol, question))


@pytest.fixture(scope="module")
def digits(mnist: Mnist) -> Grey:
    """100 MNIST test images, uint8 (100, 28, 28)."""
    images: Grey = mnist.pixels[::50]
    return images


def request(kserve: Any, array: NDArray[Any], datatype: str, *, binary: bool, binary_reply: bool = False) -> Any:
    tensor = kserve.InferInput("features", list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    outputs = importlib.import_module("kserve.protocol.infer_type").RequestedOutput
    return kserve.InferRequest(
        NAME,
        [tensor],
        request_id="42",
        request_outputs=[outputs(name, {"binary_data": binary_reply}) for name in ("probabilities", "digit")],
    )


def test_the_second_protocol_finds_server_and_model_ready(ask: Ask, service: Service) -> None:
    assert ask("v2", lambda client: client.is_server_live(service.url)) is True
    assert ask("v2", lambda client: client.is_server_ready(service.url)) is True
    assert ask("v2", lambda client: client.is_model_ready(service.url, NAME)) is True
    assert ask("v2", lambda client: client.is_model_ready(service.url, "resnet")) is False


@pytest.mark.parametrize("binary_reply", [True, False], ids=["binary reply", "JSON reply"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "JSON"])
@pytest.mark.parametrize("datatype", ["FP32", "UINT8"])
def test_the_second_protocol_gets_the_probabilities_of_predict(
    kserve: Any,
    ask: Ask,
    service: Service,
    digits: Grey,
    expected: NDArray[np.float64],
    datatype: str,
    binary: bool,
    binary_reply: bool,
) -> None:
    pixels = digits.reshape(-1, 784)
    array = (pixels / 255).astype(np.float32) if datatype == "FP32" else pixels
    asked = request(kserve, array, datatype, binary=binary, binary_reply=binary_reply)
    headers: dict[str, str] = {}

    answer = ask("v2", lambda client: client.infer(service.url, asked, NAME, response_headers=headers))

    assert ("inference-header-content-length" in headers) == binary_reply
    # The client drops `model_version` from the body.
    assert (answer.model_name, headers["x-model-version"], answer.id) == (NAME, str(SHIPPED_VERSION), "42")
    probabilities, digit = answer.outputs
    np.testing.assert_allclose(probabilities.as_numpy(), expected, atol=1e-6)
    assert digit.as_numpy().tolist() == expected.argmax(axis=1).tolist()


def test_encoded_pictures_get_the_probabilities_of_predict(
    kserve: Any, ask: Ask, service: Service, digits: Grey, expected: NDArray[np.float64]
) -> None:
    pictures = np.array([encoded(picture) for picture in digits], dtype=object)

    answer = ask("v2", lambda client: client.infer(service.url, request(kserve, pictures, "BYTES", binary=True), NAME))

    np.testing.assert_allclose(answer.outputs[0].as_numpy(), expected, atol=1e-6)


def test_the_second_protocols_errors_are_readable(kserve: Any, ask: Ask, service: Service) -> None:
    blank = request(kserve, np.zeros((1, 784), np.uint8), "UINT8", binary=False)

    with pytest.raises(httpx.HTTPStatusError, match=r"no ink found: the picture is blank.*'400 Bad Request'"):
        ask("v2", lambda client: client.infer(service.url, blank, NAME))


def test_the_first_protocol_finds_the_model_ready(ask: Ask, service: Service) -> None:
    assert ask("v1", lambda client: client.is_model_ready(service.url, NAME)) is True


def test_the_first_protocol_gets_the_probabilities_of_predict(
    ask: Ask, service: Service, digits: Grey, expected: NDArray[np.float64]
) -> None:
    features = (digits.reshape(-1, 784) / 255).tolist()

    answer = ask("v1", lambda client: client.infer(service.url, {"instances": features}, NAME))

    np.testing.assert_allclose(answer["predictions"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "instances", "message"),
    [
        pytest.param(
            "resnet", [[0.5] * 784], "expected the model 'mnist-dense', received 'resnet'", id="another model"
        ),
        pytest.param(NAME, [[0.5] * 783], "Expecting tensor size: 784 but got: 783", id="one pixel too few"),
    ],
)
def test_the_first_protocols_errors_are_readable(
    ask: Ask, service: Service, model: str, instances: Any, message: str
) -> None:
    with pytest.raises(httpx.HTTPStatusError, match=message):
        ask("v1", lambda client: client.infer(service.url, {"instances": instances}, model))


def test_a_photo_is_normalized_by_both(kserve: Any, ask: Ask, service: Service) -> None:
    photo = (EXAMPLES / "photo.jpg").read_bytes()
    ours = service.client.post("/predict", content=photo, headers={"content-type": "image/jpeg"}).json()
    asked = request(kserve, np.array([photo], dtype=object), "BYTES", binary=True)
    encoded_photo = {"instances": [{"b64": base64.b64encode(photo).decode()}]}

    second = ask("v2", lambda client: client.infer(service.url, asked, NAME))
    first = ask("v1", lambda client: client.infer(service.url, encoded_photo, NAME))

    np.testing.assert_allclose(second.outputs[0].as_numpy()[0], ours["probabilities"], atol=1e-6)
    np.testing.assert_allclose(first["predictions"][0], ours["probabilities"], atol=1e-6)


@pytest.fixture(scope="module")
def ask_by_grpc(kserve: Any, grpc_service: Service) -> Callable[[Callable[[Any], Awaitable[Any]]], Any]:
    """Return a function that awaits `ask_by_grpc(lambda client: client.infer(...))` with KServe's gRPC client."""

    async def asked(question: Callable[[Any], Awaitable[Any]]) -> Any:
        async with kserve.InferenceGRPCClient(grpc_target(grpc_service)) as client:
            return await question(client)

    return lambda question: asyncio.run(asked(question))


def test_the_grpc_client_finds_server_and_model_ready(ask_by_grpc: Callable[..., Any]) -> None:
    assert ask_by_grpc(lambda client: client.is_server_live()) is True
    assert ask_by_grpc(lambda client: client.is_server_ready()) is True
    assert ask_by_grpc(lambda client: client.is_model_ready(NAME)) is True


@pytest.mark.parametrize(
    ("datatype", "binary"),
    [
        pytest.param("FP32", True, id="FP32, raw contents"),
        pytest.param("FP32", False, id="FP32, typed contents"),
        pytest.param("UINT8", True, id="UINT8, raw contents"),
        pytest.param("UINT8", False, id="UINT8, typed contents"),
        pytest.param("BYTES", True, id="BYTES, raw contents"),  # the client sends only text as typed contents
    ],
)
def test_the_grpc_client_gets_the_probabilities_of_predict(
    kserve: Any,
    ask_by_grpc: Callable[..., Any],
    digits: Grey,
    expected: NDArray[np.float64],
    datatype: str,
    binary: bool,
) -> None:
    pixels = digits.reshape(-1, 784)
    arrays: dict[str, NDArray[Any]] = {
        "FP32": (pixels / 255).astype(np.float32),
        "UINT8": pixels,
        "BYTES": np.array([encoded(picture) for picture in digits], dtype=object),
    }

    answer = ask_by_grpc(lambda client: client.infer(request(kserve, arrays[datatype], datatype, binary=binary)))

    assert (answer.model_name, answer.model_version, answer.id) == (NAME, str(SHIPPED_VERSION), "42")
    probabilities, digit = answer.outputs
    np.testing.assert_allclose(probabilities.as_numpy(), expected, atol=1e-6)
    assert digit.as_numpy().tolist() == expected.argmax(axis=1).tolist()
