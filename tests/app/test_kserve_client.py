"""KServe's own clients with all of their protocols, against a real service."""

import asyncio
import importlib
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from digits.features import Grey
from digits.model.artifact import NAME
from tests.app.conftest import Service, cases, grpc_target
from tests.conftest import SHIPPED_VERSION, encoded

Ask = Callable[[str, Callable[[Any], Awaitable[Any]]], Any]


@pytest.fixture(scope="module")
def kserve() -> Any:
    """The package. Its import emits warnings about itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("kserve")


@pytest.fixture(scope="module")
def ask(kserve: Any, service: Service) -> Ask:
    """`ask("v2", lambda client: client.infer(...))` returns what a client of this protocol returns."""

    async def asked(protocol: str, question: Callable[[Any], Awaitable[Any]]) -> Any:
        if protocol == "grpc":
            client = kserve.InferenceGRPCClient(grpc_target(service))
        else:
            client = kserve.InferenceRESTClient(kserve.RESTConfig(protocol=protocol))
        async with client:
            return await question(client)

    return lambda protocol, question: asyncio.run(asked(protocol, question))


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


def as_array(digits: Grey, datatype: str) -> NDArray[Any]:
    if datatype == "BYTES":
        return np.array([encoded(digit) for digit in digits], dtype=object)
    pixels = digits.reshape(-1, 784)
    return (pixels / 255).astype(np.float32) if datatype == "FP32" else pixels


def test_each_protocol_finds_server_and_model_ready(ask: Ask, service: Service) -> None:
    assert ask("v1", lambda client: client.is_model_ready(service.url, NAME)) is True
    assert ask("v2", lambda client: client.is_server_live(service.url)) is True
    assert ask("v2", lambda client: client.is_server_ready(service.url)) is True
    assert ask("v2", lambda client: client.is_model_ready(service.url, NAME)) is True
    assert ask("v2", lambda client: client.is_model_ready(service.url, "resnet")) is False
    assert ask("grpc", lambda client: client.is_server_live()) is True
    assert ask("grpc", lambda client: client.is_server_ready()) is True
    assert ask("grpc", lambda client: client.is_model_ready(NAME)) is True


@pytest.mark.parametrize(
    ("datatype", "binary", "binary_reply"),
    cases(
        {
            "FP32, binary": ("FP32", True, True),
            "FP32, JSON": ("FP32", False, False),
            "UINT8, binary, JSON reply": ("UINT8", True, False),
            "UINT8, JSON, binary reply": ("UINT8", False, True),
            "BYTES": ("BYTES", True, False),
        }
    ),
)
def test_the_second_protocol_gets_the_probabilities_of_the_network(
    kserve: Any,
    ask: Ask,
    service: Service,
    digits: Grey,
    expected: NDArray[np.float32],
    datatype: str,
    binary: bool,
    binary_reply: bool,
) -> None:
    asked = request(kserve, as_array(digits, datatype), datatype, binary=binary, binary_reply=binary_reply)
    headers: dict[str, str] = {}

    answer = ask("v2", lambda client: client.infer(service.url, asked, NAME, response_headers=headers))

    assert ("inference-header-content-length" in headers) == binary_reply
    # The client drops `model_version` from the body.
    assert (answer.model_name, headers["x-model-version"], answer.id) == (NAME, str(SHIPPED_VERSION), "42")
    probabilities, digit = answer.outputs
    np.testing.assert_allclose(probabilities.as_numpy(), expected, atol=1e-6)
    assert digit.as_numpy().tolist() == expected.argmax(axis=1).tolist()


def test_the_first_protocol_gets_the_probabilities_of_the_network(
    ask: Ask, service: Service, digits: Grey, expected: NDArray[np.float32]
) -> None:
    features = {"instances": (digits.reshape(-1, 784) / 255).tolist()}

    answer = ask("v1", lambda client: client.infer(service.url, features, NAME))

    np.testing.assert_allclose(answer["predictions"], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("datatype", "binary"),
    cases(
        {
            "FP32, raw contents": ("FP32", True),
            "FP32, typed contents": ("FP32", False),
            "UINT8, typed contents": ("UINT8", False),
            "BYTES, raw contents": ("BYTES", True),  # the client sends only text as typed contents
        }
    ),
)
def test_the_grpc_client_gets_the_probabilities_of_the_network(
    kserve: Any, ask: Ask, digits: Grey, expected: NDArray[np.float32], datatype: str, binary: bool
) -> None:
    asked = request(kserve, as_array(digits, datatype), datatype, binary=binary)

    answer = ask("grpc", lambda client: client.infer(asked))

    assert (answer.model_name, answer.model_version, answer.id) == (NAME, str(SHIPPED_VERSION), "42")
    probabilities, digit = answer.outputs
    np.testing.assert_allclose(probabilities.as_numpy(), expected, atol=1e-6)
    assert digit.as_numpy().tolist() == expected.argmax(axis=1).tolist()


def test_the_second_protocols_errors_are_readable(kserve: Any, ask: Ask, service: Service) -> None:
    blank = request(kserve, np.zeros((1, 784), np.uint8), "UINT8", binary=False)

    with pytest.raises(httpx.HTTPStatusError, match=r"no ink found: the picture is blank.*'400 Bad Request'"):
        ask("v2", lambda client: client.infer(service.url, blank, NAME))


@pytest.mark.parametrize(
    ("model", "pixels", "message"),
    [("resnet", 784, "expected the model 'mnist-dense', received 'resnet'"), (NAME, 783, "size: 784 but got: 783")],
)
def test_the_first_protocols_errors_are_readable(
    ask: Ask, service: Service, model: str, pixels: int, message: str
) -> None:
    with pytest.raises(httpx.HTTPStatusError, match=message):
        ask("v1", lambda client: client.infer(service.url, {"instances": [[0.5] * pixels]}, model))
