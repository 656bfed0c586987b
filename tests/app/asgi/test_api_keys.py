"""When API keys are set, every path except probes and pages requires one of them."""

import re
from pathlib import Path

import httpx
import pytest

from app.asgi.api_keys import ApiKeys
from app.settings import Settings
from tests.app.conftest import NEW_KEY, OLD_KEY, Service, StartService, cases, grpc_channel
from tests.app.dialects import RAW
from tests.conftest import fresh_python, last_line


def post_seven(service: Service, headers: dict[str, str]) -> httpx.Response:
    return service.client.post("/predict", content=RAW["content"], headers=RAW["headers"] | headers)


@cases(
    "headers",
    {
        "a key that is known as a hash": {"authorization": f"Bearer {OLD_KEY}"},
        "the scheme in lower case": {"authorization": f"bearer  {NEW_KEY}"},
        "X-API-Key beside another token": {"authorization": "Bearer unknown", "x-api-key": NEW_KEY},
    },
)
def test_a_known_key_is_accepted(locked: Service, headers: dict[str, str]) -> None:
    reply = post_seven(locked, headers)

    assert (reply.status_code, reply.json()["digit"]) == (200, 7)
    assert locked.client.get("/model", headers=headers).status_code == 200
    assert locked.client.get("/nothing", headers=headers).status_code == 404


@cases(
    "headers",
    {
        "no key": {},
        "a key in upper case": {"authorization": f"Bearer {NEW_KEY.upper()}"},
        "no scheme": {"authorization": NEW_KEY},
        "both keys": {"authorization": f"Bearer {OLD_KEY},{NEW_KEY}"},
        "an empty X-API-Key": {"x-api-key": ""},
    },
)
def test_anything_else_gets_the_same_401(locked: Service, headers: dict[str, str]) -> None:
    reply = post_seven(locked, headers)

    assert reply.status_code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.json()["detail"] == "expected a known API key, as `Authorization: Bearer KEY` or as `X-API-Key: KEY`"


@pytest.mark.parametrize(
    "path",
    [
        *("/livez", "/startupz", "/readyz", "/health", "/", "/page/main.js", "/page/index.html"),
        *("/docs", "/docs/assets/swagger-ui.css", "/openapi.json", "/examples/seven.png"),
        *("/ping", "/v2/health/live", "/v2/health/ready"),
    ],
)
def test_probes_and_pages_need_no_key(locked: Service, path: str) -> None:
    assert locked.client.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/predict", "/model", "/model/card", "/model/report/README.md", "/metrics", "/nothing"),
        *("/v1/models/mnist-dense", "/v1/models/mnist-dense:predict", "/v2", "/v2/health", "/invocations"),
        *("/predict/", "//predict", "/Livez", "/livez/", "/livez/../predict", "/docs/", "/docs/assets", "/pages"),
        *("/%6dodel", "/page%2f..%2fmodel", "/docsx", "/favicon.ico", "/V1/models", "/ping/"),
    ],
)
def test_every_other_path_needs_a_key_whether_it_exists_or_not(locked: Service, path: str) -> None:
    # A path that begins like a page's is public, but no such page exists.
    expected = (b"404", b"405") if path.startswith("/page%2f") else (b"401",)

    for method in ("GET", "POST", "OPTIONS", "TRACE", "HEAD", "DELETE"):
        reply = locked.send_bytes(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        assert reply.split(b" ", 2)[1] in expected, method


def test_the_key_is_checked_before_the_body_is_read(locked: Service) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 10000\r\n"

    reply = locked.send_bytes(head + b"Expect: 100-continue\r\n\r\n")

    assert reply.startswith(b"HTTP/1.1 401 ")  # not 100, which would ask for the body
    assert b"\r\nconnection: close\r\n" in reply


def test_the_api_document_says_where_a_key_is_needed_or_may_be(locked: Service, client: httpx.Client) -> None:
    keys: list[dict[str, list[str]]] = [{"bearer": []}, {"header": []}]

    with_keys, without_keys = (each.get("/openapi.json").json() for each in (locked.client, client))

    for document, security in ((with_keys, keys), (without_keys, [{}, *keys])):
        schemes = document["components"]["securitySchemes"]
        assert {scheme["type"] for scheme in schemes.values()} == {"http", "apiKey"}
        for path, operations in document["paths"].items():
            reply = locked.client.get(path)
            needs_key = reply.status_code == 401
            for operation in operations.values():
                described = operation["responses"].get("401", {"content": {}})["content"]
                assert list(described) == ([reply.headers["content-type"]] if needs_key else []), path
                assert operation.get("security") == (security if needs_key else None), path


@cases(
    ("text", "reason"),
    {
        "no keys": ("# no keys yet\n", "expected at least one key"),
        "a key that is one character too short": ("shop:fifteen-letters", "line 1: expected `name:key`"),
        "a space inside": (f"new:{NEW_KEY}\nshop:the new key 0123456789", "line 2: expected `name:key`"),
        "a hash that is too short": ("shop:sha256:0123456789abcdef", "line 1: expected `name:key`"),
        "one key with two names": (f"shop:{NEW_KEY}\nlab:{NEW_KEY}", "line 2: expected a key for each name"),
    },
)
def test_an_unusable_file_stops_the_start_with_a_line_that_has_no_key(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "keys").write_text(text)

    with pytest.raises(SystemExit) as ended:
        ApiKeys(Settings(api_keys_file=tmp_path / "keys"))

    line = str(ended.value)
    assert line.startswith(f"digits: MNIST_API_KEYS_FILE: {tmp_path}/keys")
    assert reason in line
    assert not any(key in line for key in re.findall(r"[^:\n]{16,}", text))


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"MNIST_REQUIRE_KEYS": "true"}, "MNIST_REQUIRE_KEYS: expected a file in MNIST_API_KEYS_FILE, received none"),
        ({"MNIST_API_KEYS_FILE": "/none"}, "MNIST_API_KEYS_FILE: cannot read /none: No such file or directory"),
    ],
    ids=["required without a file", "a missing file"],
)
def test_a_service_whose_keys_are_missing_does_not_start(environment: dict[str, str], line: str) -> None:
    ended = fresh_python("-m", "app", environment={"MNIST_PORT": "0", **environment})

    assert ended.returncode == 2
    assert last_line(ended.stderr).startswith(line)


def test_log_and_metrics_name_the_client_over_both_protocols(locked: Service) -> None:
    locked.client.get("/model", headers={"x-api-key": OLD_KEY, "x-request-id": "over-http"})
    grpc_channel(locked).unary_unary("/inference.GRPCInferenceService/ServerMetadata")(
        b"", metadata=(("x-api-key", OLD_KEY), ("x-request-id", "over-grpc"))
    )

    lines = [locked.wait_for_record(f"over-{protocol}") for protocol in ("http", "grpc")]
    metrics = locked.client.get("/metrics", headers={"x-api-key": NEW_KEY}).text

    assert [line["key_name"] for line in lines] == ["old", "old"]
    assert float(re.findall(r'digits_key_requests_total\{key_name="old"\} (.*)', metrics)[0]) >= 2


def test_a_changed_file_is_read_and_an_unusable_one_changes_nothing(
    start_service: StartService, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"shop:{OLD_KEY}")
    service = start_service(MNIST_API_KEYS_FILE=str(file), MNIST_RELOAD_SECONDS="0.1").wait_until_ready()

    def statuses() -> list[int]:
        return [service.client.get("/model", headers={"x-api-key": key}).status_code for key in (OLD_KEY, NEW_KEY)]

    assert statuses() == [200, 401]
    file.write_text(f"shop:{NEW_KEY}")
    service.wait_for_line("(read the API keys again)")
    assert statuses() == [401, 200]
    file.unlink()
    service.wait_for_line("(the API keys stay as they are: cannot read)")
    (warning,) = service.client.get("/health").json()["warnings"]
    assert warning == "a restart would fail: cannot read MNIST_API_KEYS_FILE: No such file or directory"
    metrics = service.client.get("/metrics", headers={"x-api-key": NEW_KEY}).text
    assert re.findall(r'digits_warnings\{about="(\w+)"\} 1.0', metrics) == ["keys"]
    assert statuses() == [401, 200]
