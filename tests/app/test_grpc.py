"""gRPC of a real service, with Triton's own client and with bare calls."""

import json
import re
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Semaphore
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf import descriptor_pool, json_format
from grpc_health.v1 import health_pb2
from numpy.typing import NDArray

from app import errors
from app.api.grpc.calls import MAX_ARRIVING
from app.api.grpc.codes import CODES
from app.openapi.example_pictures import EXAMPLES
from digits.features import Grey
from digits.model.artifact import NAME
from tests.app.conftest import NEW_KEY, SHAPES, Service, StartService, grpc_target, running_service
from tests.conftest import REPOSITORY, SHIPPED_VERSION, SHIPPED_VERSIONS, encoded, fresh_python, needs

SEVEN = np.frombuffer((EXAMPLES / "seven.bin").read_bytes(), np.uint8).reshape(28, 28)
PHOTO = (EXAMPLES / "photo.jpg").read_bytes()
SERVICE = "/inference.GRPCInferenceService"

triton: Any
"""Triton's client, set by the fixture below."""


@pytest.fixture(scope="module", autouse=True)
def import_triton() -> None:
    """Import Triton's client with its own pool of messages. Their names collide with those of KServe's client."""
    global triton  # noqa: PLW0603
    pool = descriptor_pool.DescriptorPool()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descriptor_pool, "Default", lambda: pool)
        import tritonclient.grpc

    triton = tritonclient.grpc


@pytest.fixture(scope="module")
def service(grpc_service: Service) -> Service:
    return grpc_service


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Any]:
    with triton.InferenceServerClient(grpc_target(service)) as client:
        yield client


@pytest.fixture(scope="module")
def channel(service: Service) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(grpc_target(service)) as channel:
        yield channel


def tensor(array: NDArray[Any], datatype: str) -> Any:
    made = triton.InferInput("features", list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def pictures(*files: bytes) -> Any:
    return tensor(np.array(files, dtype=object), "BYTES")


def message(kind: str, fields: dict[str, Any]) -> Any:
    """Return one of the protocol's messages."""
    return json_format.ParseDict(fields, getattr(triton.service_pb2, kind)())


def call(channel: grpc.Channel, method: str, body: bytes = b"", **options: Any) -> bytes:
    reply: bytes = channel.unary_unary(f"{SERVICE}/{method}")(body, timeout=20, **options)
    return reply


def infer(channel: grpc.Channel, fields: dict[str, Any], **options: Any) -> Any:
    request = message("ModelInferRequest", {"model_name": NAME} | fields)
    return triton.service_pb2.ModelInferResponse.FromString(
        call(channel, "ModelInfer", request.SerializeToString(), **options)
    )


def seven(**changes: Any) -> dict[str, Any]:
    """Return a request for one picture with typed contents."""
    values = {"uint_contents": SEVEN.ravel().tolist()}
    return {"inputs": [{"name": "features", "datatype": "UINT8", "shape": [1, 784], "contents": values, **changes}]}


class TestTritonsClient:
    """tritonclient[grpc], called as its users call it."""

    def test_it_finds_the_server_live_and_ready(self, client: Any) -> None:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(NAME)
        assert client.is_model_ready(NAME, str(SHIPPED_VERSION))

    @pytest.mark.parametrize(
        ("method", "arguments", "path"),
        [
            pytest.param("get_server_metadata", [], "/v2", id="server metadata"),
            pytest.param("get_model_metadata", [NAME], f"/v2/models/{NAME}", id="model metadata"),
        ],
    )
    def test_it_reads_what_http_replies(
        self, client: Any, service: Service, method: str, arguments: list[str], path: str
    ) -> None:
        read = getattr(client, method)(*arguments)

        assert read == json_format.ParseDict(service.client.get(path).json(), type(read)())

    def test_it_reads_the_configuration_and_the_versions(self, client: Any, service: Service) -> None:
        config = client.get_model_config(NAME).config
        index = client.get_model_repository_index()

        assert config == json_format.ParseDict(service.client.get(f"/v2/models/{NAME}/config").json(), type(config)())
        newest, *others = [(known.name, known.version, known.state) for known in index.models]
        assert newest == (NAME, str(SHIPPED_VERSION), "READY")
        assert others == [(NAME, str(number), "UNAVAILABLE") for number in SHIPPED_VERSIONS[1:]]

    @pytest.mark.parametrize("side", [pytest.param((784,), id="784"), pytest.param((28, 28), id="28x28")])
    @pytest.mark.parametrize("datatype", ["FP32", "UINT8"])
    def test_it_gets_the_probabilities_of_predict(
        self, client: Any, digits: Grey, expected: NDArray[np.float64], datatype: str, side: tuple[int, ...]
    ) -> None:
        values = (digits / 255).astype(np.float32) if datatype == "FP32" else digits

        answer = client.infer(NAME, [tensor(values.reshape(-1, *side), datatype)])

        np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, atol=1e-6)
        assert answer.as_numpy("digit").tolist() == expected.argmax(axis=1).tolist()

    def test_encoded_pictures_get_the_probabilities_of_predict(
        self, client: Any, digits: Grey, expected: NDArray[np.float64]
    ) -> None:
        answer = client.infer(NAME, [pictures(*map(encoded, digits))])

        np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, atol=1e-6)

    def test_a_photo_is_normalized(self, client: Any, service: Service) -> None:
        ours = service.client.post("/predict", content=PHOTO, headers={"content-type": "image/jpeg"}).json()

        answer = client.infer(NAME, [pictures(PHOTO)])

        np.testing.assert_allclose(answer.as_numpy("probabilities")[0], ours["probabilities"], atol=1e-6)

    @pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
    def test_compressed_requests_are_accepted(
        self, client: Any, digits: Grey, expected: NDArray[np.float64], algorithm: str
    ) -> None:
        answer = client.infer(NAME, [tensor(digits, "UINT8")], compression_algorithm=algorithm)

        np.testing.assert_allclose(answer.as_numpy("probabilities"), expected, atol=1e-6)

    def test_calls_can_be_asynchronous_and_keep_their_ids(self, client: Any) -> None:
        completed: SimpleQueue[tuple[Any, Any]] = SimpleQueue()
        for number in range(20):
            client.async_infer(
                NAME,
                [tensor(SEVEN[None], "UINT8")],
                lambda result, error: completed.put((result, error)),
                request_id=str(number),
            )
        answers, problems = zip(*[completed.get(timeout=20) for _ in range(20)], strict=True)

        assert set(problems) == {None}
        assert {answer.get_response().id for answer in answers} == {str(number) for number in range(20)}
        assert {answer.as_numpy("digit").item() for answer in answers} == {7}

    def test_it_can_choose_an_output_and_its_most_probable_classes(self, client: Any) -> None:
        outputs = [triton.InferRequestedOutput("probabilities", class_count=3)]

        answer = client.infer(NAME, [tensor(SEVEN[None], "UINT8")], outputs=outputs)

        assert answer.as_numpy("digit") is None
        assert [best.decode()[-2:] for best in answer.as_numpy("probabilities")[0, :1]] == [":7"]

    def test_the_statistics_count_calls_and_requests_together(self, client: Any, service: Service) -> None:
        def counts() -> NDArray[np.int64]:
            (stats,) = client.get_inference_statistics(NAME).model_stats
            parts = stats.inference_stats
            return np.array([stats.inference_count, parts.success.count, parts.fail.count])

        before = counts()
        client.infer(NAME, [tensor(SEVEN[None].repeat(3, 0), "UINT8")])
        service.client.post("/predict", json={"pixels": SEVEN.tolist()})
        with pytest.raises(triton.InferenceServerException):
            client.infer(NAME, [tensor(SEVEN.astype(np.float32)[None], "FP32")])

        assert (counts() - before).tolist() == [4, 1, 1]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            pytest.param({"model_name": "resnet"}, r"NOT_FOUND\] expected the model 'mnist-dense'", id="another model"),
            pytest.param({"model_version": "7"}, r"NOT_FOUND\] version 7 of mnist-dense is not loaded", id="version 7"),
        ],
    )
    def test_an_unknown_model_is_not_found(self, client: Any, options: dict[str, str], message: str) -> None:
        with pytest.raises(triton.InferenceServerException, match=message):
            client.infer(**{"model_name": NAME, "inputs": [tensor(SEVEN[None], "UINT8")]} | options)

    def test_an_extension_that_is_not_offered_is_unimplemented(self, client: Any) -> None:
        with pytest.raises(triton.InferenceServerException, match=r"UNIMPLEMENTED\] .*TraceSetting is not offered"):
            client.get_trace_settings()


@pytest.mark.parametrize(
    "tensor",
    [
        pytest.param({}, id="UINT8"),
        pytest.param(
            {"datatype": "FP32", "contents": {"fp32_contents": (SEVEN / 255).ravel().tolist()}},
            id="FP32",
        ),
        pytest.param(
            {"datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b64encode(encoded(SEVEN)).decode()]}},
            id="BYTES",
        ),
    ],
)
def test_typed_contents_get_a_typed_reply(channel: grpc.Channel, tensor: dict[str, Any]) -> None:
    reply = infer(channel, seven(**tensor) | {"id": "42"})

    assert (reply.model_name, reply.model_version, reply.id) == (NAME, str(SHIPPED_VERSION), "42")
    probabilities, digit = reply.outputs
    assert (probabilities.name, probabilities.datatype, probabilities.shape) == ("probabilities", "FP32", [1, 10])
    assert np.argmax(probabilities.contents.fp32_contents) == 7
    assert (digit.name, digit.datatype, digit.shape) == ("digit", "INT64", [1])
    assert digit.contents.int64_contents == [7]
    assert not reply.raw_output_contents


RAW = b64encode(SEVEN.tobytes()).decode()


@pytest.mark.parametrize(
    ("request_", "details"),
    [
        pytest.param({}, "expected 'inputs' to be a list of one tensor named 'features'", id="no input"),
        pytest.param(seven(name="x"), "expected the input 'features', received 'x'", id="another input"),
        pytest.param(seven(datatype="INT8"), "expected the datatype FP32, UINT8 or BYTES", id="another datatype"),
        pytest.param(seven(shape=[784]), "unexpected shape for input 'features'", id="no batch"),
        pytest.param(seven(shape=[2, 784]), "expected 1568 values to match the shape, received 784", id="too few"),
        pytest.param(seven(shape=[1025, 784]), "expected at most 1024 pictures, received 1025", id="too many"),
        pytest.param(
            seven(contents={"uint_contents": [256] * 784}), "expected whole numbers from 0 to 255", id="value of 256"
        ),
        pytest.param(
            seven(contents={}), "UINT8 values in uint_contents or in raw_input_contents, received neither", id="empty"
        ),
        pytest.param(
            seven(datatype="FP32"), "FP32 values in fp32_contents or .* received uint_contents", id="the wrong field"
        ),
        pytest.param(seven() | {"raw_input_contents": [RAW]}, "received both", id="typed and raw"),
        pytest.param(
            seven(contents=None) | {"raw_input_contents": [RAW, RAW]}, "for one input, received it for 2", id="two raw"
        ),
        pytest.param(seven() | {"outputs": [{"name": "x"}]}, "expected the outputs", id="another output"),
        pytest.param(
            seven() | {"outputs": [{"name": "probabilities", "parameters": {"x": {}}}]},
            "expected the parameters of the output 'probabilities'",
            id="a parameter without a value",
        ),
        pytest.param(seven(contents={"uint_contents": [0] * 784}), "no ink found", id="a blank picture"),
    ],
)
def test_a_wrong_request_is_an_invalid_argument(channel: grpc.Channel, request_: dict[str, Any], details: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        infer(channel, request_)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert re.search(details, refused.value.details())


def test_bytes_that_are_no_message_are_an_invalid_argument(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call(channel, "ModelInfer", b"\xff\xff\xff")

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == "expected a inference.ModelInferRequest, received 3 bytes that are not one"


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
def test_a_message_above_the_limit_is_refused(channel: grpc.Channel, compression: grpc.Compression) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call(channel, "ModelInfer", bytes(16 * 1024 * 1024 + 1), compression=compression)

    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in refused.value.details()


def test_a_call_has_an_id_a_log_line_and_a_count(channel: grpc.Channel, service: Service) -> None:
    ours = "the-id-of-this-call"
    body = message("ModelInferRequest", {"model_name": NAME} | seven()).SerializeToString()

    _, reply = channel.unary_unary(f"{SERVICE}/ModelInfer").with_call(body, metadata=[("x-request-id", ours)])

    assert dict(reply.trailing_metadata()) == {"x-request-id": ours, "x-model-version": str(SHIPPED_VERSION)}
    line = json.loads(service.wait_for_line(rf'(\{{.*"request_id":"{ours}".*\}})'))
    route = f"{SERVICE}/ModelInfer"
    assert {key: line[key] for key in ("client", "path", "route", "status", "batch", "version")} == {
        **{"client": "127.0.0.1", "path": route, "route": route, "status": 200, "batch": 1},
        "version": SHIPPED_VERSION,
    }
    counted = rf'digits_request_seconds_count{{protocol="grpc",route="{route}",status="200"}} [1-9]'
    assert re.search(counted, service.client.get("/metrics").text)


def test_a_call_ends_at_its_deadline_and_no_longer_counts(channel: grpc.Channel, service: Service) -> None:
    files = [b64encode(PHOTO).decode()] * 100
    request = seven(datatype="BYTES", shape=[100], contents={"bytes_contents": files})
    body = message("ModelInferRequest", {"model_name": NAME} | request).SerializeToString()

    with pytest.raises(grpc.RpcError) as ended:
        channel.unary_unary(f"{SERVICE}/ModelInfer")(body, timeout=0.05, metadata=[("x-request-id", "hurried")])

    assert ended.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert json.loads(service.wait_for_line(r'(\{.*"request_id":"hurried".*\})'))["status"] == 499
    deadline = time.monotonic() + 20
    while "digits_requests_in_work 0.0" not in service.client.get("/metrics").text:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("name", ["", "inference.GRPCInferenceService"])
def test_the_health_protocol_reports_that_it_serves(channel: grpc.Channel, name: str) -> None:
    request = health_pb2.HealthCheckRequest(service=name).SerializeToString()

    reply = channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=20)

    assert health_pb2.HealthCheckResponse.FromString(reply).status == health_pb2.HealthCheckResponse.SERVING


def test_the_health_of_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    request = health_pb2.HealthCheckRequest(service="x").SerializeToString()

    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=20)

    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services(channel: grpc.Channel) -> None:
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    listed = ProtoReflectionDescriptorDatabase(channel).get_services()

    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(listed)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that has signed itself, and its key."""
    needs("openssl")
    certificate, key = (tmp_path_factory.mktemp("tls") / name for name in ("server.crt", "server.key"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    names = ["-subj", "/CN=digits", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) -> Iterator[Service]:
    """One service that requires a key and TLS, and that takes one request at a time."""
    settings = {
        "MNIST_GRPC_PORT": "0",
        "MNIST_GRPC_TLS_CERT": str(certificate[0]),
        "MNIST_GRPC_TLS_KEY": str(certificate[1]),
        "MNIST_API_KEYS": NEW_KEY,
        "MNIST_MAX_REQUESTS": "1",
        "MNIST_DOCS": "false",
    }
    with running_service(tmp_path_factory.mktemp("locked"), **settings) as service:
        yield service


@pytest.fixture(scope="module")
def secure_channel(locked: Service, certificate: tuple[Path, Path]) -> Iterator[grpc.Channel]:
    credentials = grpc.ssl_channel_credentials(certificate[0].read_bytes())
    with grpc.secure_channel(grpc_target(locked), credentials) as channel:
        yield channel


KEY = {"metadata": [("x-api-key", NEW_KEY)]}


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param([("authorization", f"Bearer {NEW_KEY}")], id="authorization"),
        pytest.param([("x-api-key", NEW_KEY)], id="x-api-key"),
    ],
)
def test_a_known_key_is_accepted(secure_channel: grpc.Channel, metadata: list[tuple[str, str]]) -> None:
    assert infer(secure_channel, seven(), metadata=metadata).outputs[1].contents.int64_contents == [7]


@pytest.mark.parametrize("method", ["ModelInfer", "ServerMetadata", "Unknown"])
@pytest.mark.parametrize(
    "metadata", [pytest.param([], id="no key"), pytest.param([("x-api-key", NEW_KEY[:-1])], id="another key")]
)
def test_any_other_call_is_unauthenticated(
    secure_channel: grpc.Channel, method: str, metadata: list[tuple[str, str]]
) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        call(secure_channel, method, metadata=metadata)

    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert refused.value.details().startswith("expected a known API key, as `Authorization: Bearer KEY`")


def test_probes_need_no_key_and_reflection_is_off_without_docs(secure_channel: grpc.Channel) -> None:
    assert triton.service_pb2.ServerReadyResponse.FromString(call(secure_channel, "ServerReady")).ready
    assert secure_channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20) == b"\x08\x01"
    with pytest.raises(grpc.RpcError) as refused:
        secure_channel.unary_unary("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(b"", timeout=20)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_one_call_too_many_is_unavailable_before_its_message(secure_channel: grpc.Channel, locked: Service) -> None:
    may_send = Event()

    def wait() -> Iterator[bytes]:
        may_send.wait(20)
        yield message("ModelInferRequest", {"model_name": NAME} | seven()).SerializeToString()

    first = secure_channel.stream_unary(f"{SERVICE}/ModelInfer").future(wait(), timeout=20, **KEY)
    refusals: list[grpc.RpcError] = []
    while not refusals:  # until the first call has arrived
        try:
            infer(secure_channel, seven(), **KEY)
        except grpc.RpcError as exc:
            refusals.append(exc)
    over_http = locked.client.post("/predict", json={"pixels": SEVEN.tolist()}, headers={"x-api-key": NEW_KEY})
    may_send.set()

    assert refusals[0].code() == grpc.StatusCode.UNAVAILABLE
    assert refusals[0].details() == over_http.json()["detail"] == "1 requests are already in progress; try again later"
    assert triton.service_pb2.ModelInferResponse.FromString(first.result()).outputs[1].contents.int64_contents == [7]


@pytest.mark.parametrize(
    ("workers", "seconds"),
    [pytest.param("1", "0", id="one worker, at once"), pytest.param("2", "1", id="two workers, after a second")],
)
def test_every_call_that_has_begun_is_answered_when_the_service_stops(
    start_service: StartService, workers: str, seconds: str
) -> None:
    service = start_service(MNIST_GRPC_PORT="0", MNIST_WORKERS=workers, MNIST_DRAIN_SECONDS=seconds)
    service.wait_until_ready()
    service.wait_for_line(r"(?s)" + r"startup complete.*" * (int(workers) - 1) + r"(startup complete)")
    answered = Semaphore(0)
    digits: list[int] = []

    def load() -> grpc.RpcError:
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection of its own
        with grpc.insecure_channel(grpc_target(service), options) as channel:
            while True:
                try:
                    digit = infer(channel, seven()).outputs[1].contents.int64_contents
                except grpc.RpcError as exc:
                    return exc
                digits.extend(digit)
                answered.release()

    with ThreadPoolExecutor(6) as clients:
        ends = [clients.submit(load) for _ in range(6)]
        for _ in range(60):
            assert answered.acquire(timeout=20)
        service.process.send_signal(signal.SIGTERM)
        if seconds != "0":
            with triton.InferenceServerClient(grpc_target(service)) as client:
                assert not client.is_server_ready()
                assert client.is_server_live()
        refusals = [end.result() for end in ends]

    # A call that arrives at the very end may be cancelled before the service sees it.
    assert {refusal.code() for refusal in refusals} <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
    assert service.process.wait(timeout=30) == 0
    log = service.log.read_text()
    assert "Traceback" not in log
    # Every reply has reached its client.
    assert digits == [7] * len(re.findall(r'"path":"\S+/ModelInfer",.*"status":200', log))


def test_only_some_messages_arrive_at_the_same_time(start_service: StartService) -> None:
    service = start_service(MNIST_GRPC_PORT="0").wait_until_ready()
    may_send = Event()
    body = message("ModelInferRequest", {"model_name": NAME} | seven()).SerializeToString()

    def wait() -> Iterator[bytes]:
        may_send.wait(60)
        yield body

    with grpc.insecure_channel(grpc_target(service)) as channel:
        slow = [channel.stream_unary(f"{SERVICE}/ModelInfer").future(wait(), timeout=60) for _ in range(MAX_ARRIVING)]
        while f"digits_requests_in_work {MAX_ARRIVING}.0" not in service.client.get("/metrics").text:
            time.sleep(0.1)
        one_more = channel.unary_unary(f"{SERVICE}/ModelInfer").future(body, timeout=60)
        while f"digits_requests_in_work {MAX_ARRIVING + 1}.0" not in service.client.get("/metrics").text:
            time.sleep(0.1)
        assert triton.service_pb2.ServerLiveResponse.FromString(call(channel, "ServerLive")).live
        waits = not one_more.done()
        may_send.set()
        replies = [triton.service_pb2.ModelInferResponse.FromString(call.result()) for call in [*slow, one_more]]

    assert waits
    assert [reply.outputs[1].contents.int64_contents for reply in replies] == [[7]] * (MAX_ARRIVING + 1)


def test_the_workers_share_one_port_which_no_other_service_can_take(
    start_service: StartService, service: Service
) -> None:
    port = grpc_target(service).rpartition(":")[2]

    ended = fresh_python("-m", "app", environment={"MNIST_PORT": "0", "MNIST_GRPC_PORT": port})

    assert ended.returncode == 1
    assert (
        ended.stderr
        == f"digits: cannot listen on 127.0.0.1:{port} (MNIST_HOST, MNIST_GRPC_PORT): Address already in use\n"
    )


@pytest.mark.parametrize(
    ("code", "environment", "line"),
    [
        pytest.param(
            "import sys; sys.modules['grpc_health'] = None; ",
            {},
            "digits: MNIST_GRPC_PORT needs grpcio. Run: make .venv/.grpc, or uv tool install '.[grpc]', "
            'or docker build --build-arg EXTRAS="--extra grpc"',
            id="without the extra",
        ),
        pytest.param(
            "",
            {"MNIST_GRPC_TLS_CERT": __file__},
            "digits: MNIST_GRPC_TLS_CERT, MNIST_GRPC_TLS_KEY: expected both files or none, received one",
            id="a certificate without its key",
        ),
        pytest.param(
            "",
            {"MNIST_GRPC_TLS_CERT": __file__, "MNIST_GRPC_TLS_KEY": "missing.key"},
            "digits: MNIST_GRPC_TLS_KEY: cannot read missing.key: No such file or directory",
            id="a key that does not exist",
        ),
        pytest.param(
            "",
            {"MNIST_GRPC_TLS_CERT": __file__, "MNIST_GRPC_TLS_KEY": __file__},
            "digits: MNIST_GRPC_TLS_CERT, MNIST_GRPC_TLS_KEY: expected a certificate chain and its private key without "
            "a password, both PEM, received other files",
            id="files that are not PEM",
        ),
    ],
)
def test_what_is_missing_is_one_line(code: str, environment: dict[str, str], line: str) -> None:
    code += "from app.__main__ import main; main()"

    ended = fresh_python("-c", code, environment={"MNIST_PORT": "0", "MNIST_GRPC_PORT": "0", **environment})

    assert (ended.returncode, ended.stderr) == (1, f"{line}\n")


def test_a_server_that_cannot_start_grpc_says_so(start_service: StartService) -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", "0"]

    service = start_service(command, MNIST_GRPC_PORT="0").wait_until_ready()

    service.wait_for_line("(gRPC is off: only `digits serve` and `python -m app` open MNIST_GRPC_PORT)")


def test_every_error_has_a_code() -> None:
    # The others concern the head of an HTTP/1.1 request and its method.
    assert set(errors.STATUS.values()) - {405, 431} <= CODES.keys()


def test_the_messages_are_made_from_the_proto_file(tmp_path: Path) -> None:
    folder = Path("app/api/grpc")
    proto = REPOSITORY / folder / "open_inference.proto"
    command = re.search(r"python (-m grpc_tools\.protoc .*)", proto.read_text())
    assert command is not None

    arguments = command[1].replace("--python_out=.", f"--python_out={tmp_path}").split()
    subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, check=True, timeout=60)

    made, kept = ((root / folder / "open_inference_pb2.py").read_text() for root in (tmp_path, REPOSITORY))
    assert made == kept


def test_a_model_of_other_classes_has_a_column_for_each(shapes: Service) -> None:
    white = np.full((2, 784), 255, np.uint8)

    with triton.InferenceServerClient(grpc_target(shapes)) as client:
        shape = client.get_model_metadata(NAME).outputs[0].shape
        outputs = [
            triton.InferRequestedOutput("probabilities"),
            triton.InferRequestedOutput("probabilities", class_count=1),
        ]
        probabilities, labels = (
            client.infer(NAME, [tensor(white, "UINT8")], outputs=[output]).as_numpy("probabilities")
            for output in outputs
        )

    assert list(shape) == [-1, len(SHAPES)]
    assert probabilities.shape == (2, len(SHAPES))
    assert labels[0, 0].decode().endswith(f":{SHAPES[probabilities[0].argmax()]}")
