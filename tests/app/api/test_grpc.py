"""What is special to gRPC."""

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2

from app.api.grpc.arrivals import MAX_ARRIVING
from digits.model.artifact import NAME
from tests.app.conftest import NEW_KEY, Service, cases, grpc_channel
from tests.app.dialects import INFER, PHOTO, SEVEN, base64, triton_grpc
from tests.conftest import REPOSITORY, fresh_python, last_line, needs

triton: Any = triton_grpc()
SERVICE = "/inference.GRPCInferenceService"
HEALTH = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@pytest.fixture(scope="module")
def channel(service: Service) -> Iterator[grpc.Channel]:
    with grpc_channel(service) as channel:
        yield channel


def message(fields: dict[str, Any]) -> bytes:
    request = json_format.ParseDict({"model_name": NAME} | fields, triton.service_pb2.ModelInferRequest())
    content: bytes = request.SerializeToString()
    return content


def call(channel: grpc.Channel, path: str, body: bytes = b"", **options: Any) -> bytes:
    reply: bytes = channel.unary_unary(path)(body, timeout=20, **options)
    return reply


def refusal(channel: grpc.Channel, path: str, body: bytes = b"", **options: Any) -> tuple[grpc.StatusCode, str]:
    """Return the code and the details of a call that fails."""
    with pytest.raises(grpc.RpcError) as refused:
        call(channel, path, body, **options)
    return refused.value.code(), refused.value.details()


def parsed(reply: bytes) -> Any:
    return triton.service_pb2.ModelInferResponse.FromString(reply)


def seven(**changes: Any) -> dict[str, Any]:
    values = {"uint_contents": SEVEN.ravel().tolist()}
    return {"inputs": [{"name": "features", "datatype": "UINT8", "shape": [1, 784], "contents": values, **changes}]}


def test_the_trust_has_a_typed_reply(channel: grpc.Channel) -> None:
    names = ("accept", "is_digit", "novelty", "prediction_set")

    reply = parsed(call(channel, INFER, message(seven() | {"outputs": [{"name": name} for name in names]})))

    accept, is_digit, novelty, prediction_set = (output.contents for output in reply.outputs)
    assert [(output.datatype, output.shape) for output in reply.outputs] == [
        ("BOOL", [1]),
        ("BOOL", [1]),
        ("FP32", [1]),
        ("UINT8", [1, 10]),
    ]
    assert (accept.bool_contents, is_digit.bool_contents) == ([True], [True])
    assert novelty.fp32_contents[0] < 1
    assert prediction_set.uint_contents == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0]


RAW = base64(SEVEN.tobytes())
UNSET = {"outputs": [{"name": "probabilities", "parameters": {"x": {}}}]}
MANY_NUMBERS = {"contents": {"int64_contents": [0] * (2 * 1024 * 784 + 1)}}
PACKED = triton.service_pb2.ModelInferRequest(inputs=[MANY_NUMBERS]).SerializeToString()

WRONG = {
    "value of 256": (seven(contents={"uint_contents": [256] * 784}), "expected whole numbers from 0 to 255"),
    "empty": (seven(contents={}), "UINT8 values in uint_contents or in raw_input_contents, received neither"),
    "the wrong field": (seven(datatype="FP32"), "received uint_contents"),
    "typed and raw": (seven() | {"raw_input_contents": [RAW]}, "received both"),
    "two raw": (seven(contents=None) | {"raw_input_contents": [RAW, RAW]}, "for one input, received it for 2"),
    "a parameter without a value": (seven() | UNSET, "expected the parameters of the output 'probabilities'"),
    # counted before they are parsed
    "a million empty inputs": (b"\x2a\x00" * 1_000_000, "expected at most 3048 fields in a message"),
    "nested empty values": (b"\x2a\x80\x80\x04" + b"\x2a\x00" * (1 << 15), "expected at most 3048 fields"),
    "numbers of many pictures": (PACKED, "expected at most 1024 pictures, received more"),
    "a number without an end": (b"\xff" * 40_000, "received 40000 bytes that are not one"),
}


@cases(("request_", "details"), WRONG)
def test_a_wrong_request_is_an_invalid_argument(channel: grpc.Channel, request_: Any, details: str) -> None:
    code, said = refusal(channel, INFER, request_ if isinstance(request_, bytes) else message(request_))

    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert details in said


def test_a_message_without_pictures_is_short(channel: grpc.Channel) -> None:
    longest = b"\x7a\xfd\x1f" + bytes(4093)

    allowed, refused = call(channel, HEALTH, longest), refusal(channel, HEALTH, longest + b"\x10\x00")

    assert allowed
    too_long = "expected a message of at most 4096 bytes, received 4098"
    assert refused == (grpc.StatusCode.INVALID_ARGUMENT, too_long)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip], ids=["plain", "gzip"])
def test_a_message_above_the_limit_is_refused(channel: grpc.Channel, compression: grpc.Compression) -> None:
    code, details = refusal(channel, INFER, bytes(4 * 1024 * 1024 + 1), compression=compression)

    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in details


def test_the_head_of_a_call_has_at_most_8_kib(channel: grpc.Channel) -> None:
    code, details = refusal(channel, HEALTH, metadata=[("x-long", "a" * 8192)])

    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "hard limit" in details


def test_a_connection_has_at_most_64_calls(service: Service) -> None:
    host, port = service.grpc_target.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)))
        frame = connection.recv(9)
        settings = connection.recv(int.from_bytes(frame[:3], "big"))

    assert frame[3] == 4  # SETTINGS, of six bytes each: RFC 9113, section 6.5.1
    pairs = [(settings[at : at + 2], settings[at + 2 : at + 6]) for at in range(0, len(settings), 6)]
    assert (b"\0\x03", (64).to_bytes(4, "big")) in pairs  # MAX_CONCURRENT_STREAMS


def test_a_call_ends_at_its_deadline_and_no_longer_counts(channel: grpc.Channel, service: Service) -> None:
    files = {"bytes_contents": [base64(PHOTO)] * 100}
    body = message(seven(datatype="BYTES", shape=[100], contents=files))

    with pytest.raises(grpc.RpcError) as ended:
        channel.unary_unary(INFER)(body, timeout=0.05, metadata=[("x-request-id", "hurried")])

    assert ended.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert service.wait_for_record("hurried")["status"] == 499
    service.wait_for_requests_in_work(0)


def test_only_some_messages_arrive_at_the_same_time(service: Service) -> None:
    may_send = Event()
    body = message(seven())

    def wait() -> Iterator[bytes]:
        may_send.wait(60)
        yield body

    with grpc_channel(service) as channel:
        slow = [channel.stream_unary(INFER).future(wait(), timeout=60) for _ in range(MAX_ARRIVING)]
        service.wait_for_requests_in_work(MAX_ARRIVING)
        one_more = channel.unary_unary(INFER).future(body, timeout=60)
        service.wait_for_requests_in_work(MAX_ARRIVING + 1)
        probe = call(channel, f"{SERVICE}/ServerLive")
        waits = not one_more.done()
        may_send.set()
        replies = [parsed(call.result()) for call in [*slow, one_more]]

    assert triton.service_pb2.ServerLiveResponse.FromString(probe).live
    assert waits
    assert [reply.outputs[1].contents.int64_contents for reply in replies] == [[7]] * (MAX_ARRIVING + 1)


@pytest.mark.parametrize("name", ["", "inference.GRPCInferenceService"])
def test_the_health_protocol_reports_that_it_serves(channel: grpc.Channel, name: str) -> None:
    reply = call(channel, HEALTH, health_pb2.HealthCheckRequest(service=name).SerializeToString())

    assert health_pb2.HealthCheckResponse.FromString(reply).status == health_pb2.HealthCheckResponse.SERVING


def test_the_description_of_the_messages_is_current(tmp_path: Path) -> None:
    folder, described = Path("app/api/grpc"), tmp_path / "described.binpb"
    options = "-I.", f"--descriptor_set_out={described}", folder / "open_inference.proto"

    ran = fresh_python("-m", "grpc_tools.protoc", *options)

    assert ran.returncode == 0, ran.stderr
    assert described.read_bytes() == (REPOSITORY / folder / "open_inference.binpb").read_bytes()


def test_reflection_lists_the_services(channel: grpc.Channel) -> None:
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

    listed = ProtoReflectionDescriptorDatabase(channel).get_services()

    assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= set(listed)


def test_probes_that_send_nothing_do_not_delay_others(service: Service) -> None:
    has_ended = Event()

    def nothing() -> Iterator[bytes]:
        has_ended.wait(60)
        yield from ()

    with grpc_channel(service) as silent, grpc_channel(service) as other:
        calls = [silent.stream_unary(path).future(nothing(), timeout=60) for path in [HEALTH, REFLECTION] * 50]
        try:
            replies = [call(other, HEALTH) for _ in range(20)]
        finally:
            has_ended.set()
        codes = {each.code() for each in calls[:20]}

    assert replies == [b"\x08\x01"] * 20
    assert grpc.StatusCode.DEADLINE_EXCEEDED in codes


def test_without_docs_reflection_is_off(limited: Service) -> None:
    with grpc_channel(limited) as channel:
        assert refusal(channel, REFLECTION)[0] == grpc.StatusCode.UNIMPLEMENTED


def test_a_path_cannot_forge_a_line_of_the_log(limited: Service) -> None:
    with grpc_channel(limited) as channel:
        refusal(channel, f"{SERVICE}/A\n12:00:00 200 POST /forged\x1b[31m")

    limited.wait_for_line(rf"(501 POST {SERVICE}/A%0A12%3A00%3A00%20200%20POST%20/forged%1B%5B31m )")


def test_calls_can_be_encrypted(limited: Service) -> None:
    needs("openssl")

    with grpc_channel(limited) as secure, grpc.insecure_channel(limited.grpc_target) as plain:
        reply = parsed(call(secure, INFER, message(seven())))
        code, _ = refusal(plain, INFER, message(seven()))

    assert reply.outputs[1].contents.int64_contents == [7]
    assert code == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("method", ["ServerMetadata", "Unknown"])
def test_every_call_but_a_probe_needs_a_key(locked: Service, method: str) -> None:
    with grpc_channel(locked) as channel:
        ready, health = call(channel, f"{SERVICE}/ServerReady"), call(channel, HEALTH)
        code, _ = refusal(channel, f"{SERVICE}/{method}", metadata=[("x-api-key", NEW_KEY[:-1])])

    assert (ready, health) == (b"\x08\x01", b"\x08\x01")
    assert code == grpc.StatusCode.UNAUTHENTICATED


TLS = "MNIST_GRPC_TLS_CERT, MNIST_GRPC_TLS_KEY: expected "


@cases(
    ("files", "line"),
    {
        "no key": ({"CERT": __file__}, TLS + "both files or none, received one"),
        "a missing key": ({"CERT": __file__, "KEY": "missing.key"}, "MNIST_GRPC_TLS_KEY: cannot read missing.key"),
        "files that are not PEM": ({"CERT": __file__, "KEY": __file__}, TLS + "a certificate chain and its priv"),
        "no grpcio": ({}, "MNIST_GRPC_PORT needs grpcio. Run: make .venv/.grpc, or uv tool install '.[cli,grpc]', "),
    },
)
def test_what_is_missing_is_one_line(files: dict[str, str], line: str) -> None:
    environment = {f"MNIST_GRPC_TLS_{name}": file for name, file in files.items()}
    code = "" if files else "import sys; sys.modules['grpc_health'] = None; "
    code += "from app.__main__ import main; main()"

    ended = fresh_python("-c", code, environment={"MNIST_PORT": "0", "MNIST_GRPC_PORT": "0", **environment})

    assert ended.returncode == 2
    assert last_line(ended.stderr).startswith(line)
