"""Fixtures that start real services and a browser. A service with the same settings is started once."""

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from digits.features import Grey, to_features
from digits.model import artifact
from digits.model.artifact import FIRST_OWN_VERSION
from digits.model.classifier import Classifier
from tests.conftest import (
    REPOSITORY,
    SHIPPED_VERSION,
    WITHOUT_COVERAGE,
    Mnist,
    add_layers,
    make_calibration,
    publish_classes,
    publish_tiny,
    publish_trusted,
)

START_SECONDS = 60
"""A guard against hanging. A service usually starts in about a second."""


def cases(names: str | tuple[str, ...], table: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Run a test for each row of a table: an id, with a value or a tuple of values for these parameters."""
    rows = [pytest.param(*(row if isinstance(row, tuple) else (row,)), id=id_) for id_, row in table.items()]
    return pytest.mark.parametrize(names, rows)


class Service:
    """A `python -m app` process on a free port, with a log file."""

    def __init__(
        self,
        log: Path,
        environment: dict[str, str],
        command: list[str] | None = None,
        cwd: str | Path = REPOSITORY,
        start_seconds: float = START_SECONDS,
    ) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MNIST_")}
        self.log = log
        self.environment = environment
        self._start_seconds = start_seconds
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command or [sys.executable, "-m", "app"],
                cwd=cwd,
                env={**clean, "MNIST_PORT": "0", **environment},
                stdout=stream,
                stderr=stream,
            )
        try:
            self.url = self.wait_for_line(r"(http://[a-z0-9.]+:[0-9]+)")
        except AssertionError:
            self.process.kill()
            self.process.wait()
            raise
        self.port = int(self.url.rpartition(":")[2])
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def wait_for(self, found: Callable[[], Any], expected: str) -> Any:
        """Return the first true value of `found`, while the service runs."""
        deadline = time.monotonic() + self._start_seconds
        while not (value := found()):
            running = self.process.poll() is None and time.monotonic() < deadline
            assert running, f"expected {expected}; the log:\n{self.log.read_text()}"
            time.sleep(0.02)
        return value

    def wait_for_line(self, pattern: str) -> str:
        """Wait for a match in the log and return its first group."""
        match: re.Match[str] = self.wait_for(lambda: re.search(pattern, self.log.read_text()), repr(pattern))
        return match.group(1)

    def wait_for_record(self, value: str) -> dict[str, Any]:
        """Wait for a line in the log that has a field with this value, and return the line's fields."""
        text = f'"{value}"'
        self.wait_for_line(rf"({re.escape(text)}.*\}}\n)")
        record: dict[str, Any] = next(json.loads(line) for line in self.log.read_text().split("\n") if text in line)
        return record

    @cached_property
    def grpc_target(self) -> str:
        """The address for gRPC that the service has printed."""
        return self.wait_for_line(r"grpc://([a-z0-9.]+:[0-9]+)")

    @property
    def grpc_port(self) -> int:
        return int(self.grpc_target.rpartition(":")[2])

    def wait_until_ready(self) -> "Service":
        self.wait_for_status("/readyz", 200)
        return self

    def wait_for_status(self, path: str, status: int) -> httpx.Response:
        def reply() -> httpx.Response | None:
            with suppress(httpx.TransportError):
                if (got := self.client.get(path)).status_code == status:
                    return got
            return None

        replied: httpx.Response = self.wait_for(reply, f"{path} to become {status}")
        return replied

    def wait_for_requests_in_work(self, number: int) -> None:
        line = f"digits_requests_in_work {number}.0"
        self.wait_for(lambda: line in self.client.get("/metrics").text, line)

    def connect(self) -> socket.socket:
        """Open a connection, for bytes that no client library would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def send_bytes(self, request: bytes) -> bytes:
        """Send a request over a new connection. Return what has arrived when the head of the reply is complete."""
        with self.connect() as connection:
            connection.sendall(request)
            reply = b""
            while b"\r\n\r\n" not in reply and (more := connection.recv(65536)):
                reply += more
            return reply

    def stop(self) -> int:
        """End the service as an operator does, and return its exit code."""
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=self._start_seconds)


def received(connection: socket.socket) -> bytes:
    """Return what the service sends until it closes the connection."""
    parts = []
    with suppress(ConnectionResetError):  # the service closed while the client was still sending
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def statuses_of(replies: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", replies)]


@contextmanager
def running_service(
    folder: Path, *, cwd: str | Path = REPOSITORY, ready_at: str = "/readyz", **settings: str
) -> Iterator[Service]:
    """Run a service, with its log in `folder`. At the end, the log must have no traceback."""
    service = Service(folder / "service.log", settings, cwd=cwd)
    try:
        service.wait_for_status(ready_at, 200)
        yield service
    finally:
        exit_code = service.stop()
    assert exit_code == 0
    log = service.log.read_text()
    assert "Traceback" not in log, log


UVICORN = [sys.executable, "-m", "uvicorn", "--factory", "app.main:create_app", "--port", "0"]
"""A command that serves the application with another server than ours."""

StartService = Callable[..., Service]


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[StartService]:
    """`start_service(MNIST_X="...")` starts a service with these settings, which ends with the test."""
    started: list[Service] = []

    def start(command: list[str] | None = None, cwd: str | Path = REPOSITORY, **environment: str) -> Service:
        settings = {**WITHOUT_COVERAGE, **environment}
        started.append(Service(tmp_path / f"service-{len(started)}.log", settings, command, cwd))
        return started[-1]

    yield start
    for service in started:
        service.stop()


def copy_without_model(folder: Path) -> Path:
    """Copy the code without the shipped model, but with the finder, into a new folder, and return it."""
    for package in ("app", "digits", "models/finder"):
        shutil.copytree(REPOSITORY / package, folder / "bare" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "bare"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service with the shipped model, gRPC and an empty home folder. All other settings are the defaults.

    Tests must not change its state. At the end, its home folder must still be empty: ONNX Runtime's telemetry, if it
    were on, would write a device id.
    """
    folder = tmp_path_factory.mktemp("service")
    (folder / "home").mkdir()
    with running_service(folder, MNIST_GRPC_PORT="0", HOME=str(folder / "home")) as service:
        yield service
    assert list((folder / "home").rglob("*")) == []


@pytest.fixture(scope="session")
def client(service: Service) -> httpx.Client:
    return service.client


@pytest.fixture(scope="session")
def digits(mnist: Mnist) -> Grey:
    """100 MNIST test images, uint8 (100, 28, 28)."""
    images: Grey = mnist.pixels[::50]
    return images


@pytest.fixture(scope="session")
def expected(classifier: Classifier, digits: Grey) -> NDArray[np.float32]:
    """The probabilities that the shipped network gives for `digits`, computed without a service, (N, 10)."""
    return classifier.probabilities(to_features(digits))


def grpc_channel(service: Service, *options: tuple[str, int]) -> grpc.Channel:
    """Return a new channel to a service, with TLS if the service has a certificate."""
    certificate = service.environment.get("MNIST_GRPC_TLS_CERT")
    if certificate is None:
        return grpc.insecure_channel(service.grpc_target, options)
    credentials = grpc.ssl_channel_credentials(Path(certificate).read_bytes())
    return grpc.secure_channel(service.grpc_target, credentials, options)


LIMITED_BATCH = 5


@pytest.fixture(scope="session")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service that takes one request of five pictures at a time, without docs, with a text log and TLS for gRPC."""
    folder = tmp_path_factory.mktemp("limited")
    settings = {
        "MNIST_MAX_REQUESTS": "1",
        "MNIST_MAX_BATCH": str(LIMITED_BATCH),
        "MNIST_DOCS": "false",
        "MNIST_DOCUMENTATION_URL": "https://guide.example.org/page/?a&b",
        "MNIST_LOG_FORMAT": "text",
        "MNIST_GRPC_PORT": "0",
    }
    if shutil.which("openssl"):
        certificate, key = folder / "server.crt", folder / "server.key"
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
        names = ["-subj", "/CN=digits", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        settings |= {"MNIST_GRPC_TLS_CERT": str(certificate), "MNIST_GRPC_TLS_KEY": str(key)}
    with running_service(folder, **settings) as service:
        yield service


@pytest.fixture(scope="session")
def modelless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service without a model: no version is shipped, and the published one is damaged. A setting is misspelled."""
    folder = tmp_path_factory.mktemp("modelless")
    (publish_tiny(folder / "models").folder / artifact.MODEL).unlink()
    settings = {"MNIST_MODEL_DIR": str(folder / "models"), "MNIST_GRPC_PORT": "0", "MNIST_API_KEY": "a-misspelled-name"}
    with running_service(folder, cwd=copy_without_model(folder), ready_at="/livez", **settings) as service:
        yield service


FIRST, SECOND, THIRD, FOURTH, DAMAGED = range(FIRST_OWN_VERSION, FIRST_OWN_VERSION + 5)
"""The versions of the service `several`. The seed of each network is its number minus `FIRST`."""


@pytest.fixture(scope="session")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service with the pinned version `THIRD`, which has also loaded `FIRST`, and `SECOND` by a label."""
    folder = tmp_path_factory.mktemp("several")
    for seed in range(5):
        newest = publish_tiny(folder / "models", seed)
    (newest.folder / artifact.MODEL).unlink()
    settings = {
        "MNIST_MODEL_DIR": str(folder / "models"),
        "MNIST_MODEL_VERSION": str(THIRD),
        "MNIST_MODEL_VERSIONS": f"{FIRST},{DAMAGED}",
        "MNIST_MODEL_LABELS": f"stable={SECOND},gone=99",
        "MNIST_GRPC_PORT": "0",
    }
    with running_service(folder, **settings) as service:
        yield service


@pytest.fixture(scope="session")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service whose model has prediction sets, novelty and saliency, but recognizes no digit."""
    folder = tmp_path_factory.mktemp("trusted")
    publish_trusted(folder, threshold=0.1, normalized_threshold=0.02)
    with running_service(folder, MNIST_MODEL_DIR=str(folder)) as service:
        yield service


SHAPES = ("circle", "square", "five-pointed ★")


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service with gRPC, whose model has the classes `SHAPES` and only resizes pictures."""
    folder = tmp_path_factory.mktemp("shapes")
    calibration = make_calibration(threshold=0.1, classes=len(SHAPES)) | {"novelty": None}
    add_layers(publish_classes(folder, SHAPES, calibration=calibration).folder)
    with running_service(folder, MNIST_MODEL_DIR=str(folder), MNIST_GRPC_PORT="0") as service:
        yield service


RELOAD_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Reloading:
    """A service that looks for new versions ten times a second."""

    service: Service
    root: Path
    """The folder of published versions. At the start of each test, it has one version: the tiny network."""

    def folder(self, number: int) -> Path:
        return self.root / artifact.NAME / str(number)

    def served_version(self) -> int:
        number: int = self.service.client.get("/model").json()["version"]
        return number

    def versions(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.service.client.get("/model/versions").json()["versions"]
        return listed

    def wait_for(self, condition: Callable[[], bool]) -> None:
        self.service.wait_for(condition, "another state of the versions")

    def wait_for_version(self, number: int) -> None:
        self.wait_for(lambda: self.served_version() == number)


@pytest.fixture(scope="session")
def shared_reloading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reloading]:
    folder = tmp_path_factory.mktemp("reloading")
    root = folder / "volume/models"
    publish_tiny(root, 0)
    settings = {"MNIST_MODEL_DIR": str(root), "MNIST_RELOAD_SECONDS": str(RELOAD_SECONDS)}
    with running_service(folder, **settings) as service:
        yield Reloading(service, root)


@pytest.fixture
def reloading(shared_reloading: Reloading, tmp_path: Path) -> Iterator[Reloading]:
    """One service for tests that publish and remove versions. After each test, its versions are restored."""
    volume = shared_reloading.root.parent
    shutil.copytree(volume, tmp_path / "before")
    yield shared_reloading
    # Two renames, so that the service sees no half-copied version.
    volume.rename(tmp_path / "after")
    (tmp_path / "before").rename(volume)
    restored = [
        {"version": FIRST_OWN_VERSION, "shipped": False, "state": "serving", "reason": None},
        {"version": SHIPPED_VERSION, "shipped": True, "state": "available", "reason": None},
    ]
    shared_reloading.wait_for(lambda: shared_reloading.versions() == restored)


OLD_KEY, NEW_KEY = "the-old-key-0123456789", "the-new-key-0123456789"
ORIGIN = "https://lecture.example.org"


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service that requires one of two API keys and that pages of two origins may call. It knows one as a hash."""
    folder = tmp_path_factory.mktemp("locked")
    hashed = hashlib.sha256(OLD_KEY.encode()).hexdigest()
    (folder / "keys").write_text(f"# clients\n\nold:sha256:{hashed}\nnew:{NEW_KEY}\n")
    settings = {
        "MNIST_API_KEYS_FILE": str(folder / "keys"),
        "MNIST_REQUIRE_KEYS": "true",
        "MNIST_CORS_ORIGINS": f"{ORIGIN}, http://localhost:3000",
        "MNIST_GRPC_PORT": "0",
    }
    with running_service(folder, **settings) as service:
        yield service
    log = service.log.read_text()
    assert OLD_KEY not in log
    assert NEW_KEY not in log


@pytest.fixture(scope="session")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service with an API key below a path prefix, that pages of any origin may call."""
    folder = tmp_path_factory.mktemp("lenient")
    (folder / "keys").write_text(f"new:{NEW_KEY}")
    settings = {"MNIST_API_KEYS_FILE": str(folder / "keys"), "MNIST_ROOT_PATH": "/digits", "MNIST_CORS_ORIGINS": "*"}
    with running_service(folder, **settings) as service:
        yield service
