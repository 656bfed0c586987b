"""Settings come from the environment, once, and a bad one is one line that names it."""

import re

import pytest
from pydantic import ValidationError

from app.settings import Settings, read_settings
from tests.app.conftest import Service
from tests.conftest import fresh_python


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("MNIST_PORT", "eighty", id="a port that is not a number"),
        pytest.param("MNIST_PORT", "65536", id="a port one too high"),
        pytest.param("MNIST_PORT", "-1", id="a negative port"),
        pytest.param("MNIST_PORT", "tcp://10.0.0.1:8000", id="the port variable of a Kubernetes service"),
        pytest.param("MNIST_WORKERS", "0", id="no workers"),
        pytest.param("MNIST_WORKERS", "1.5", id="one and a half workers"),
        pytest.param("MNIST_MAX_BODY_BYTES", "16M", id="a size with a unit"),
        pytest.param("MNIST_MAX_IMAGE_PIXELS", "0", id="no pixels"),
        pytest.param("MNIST_MAX_BATCH", "-5", id="a negative batch"),
        pytest.param("MNIST_DOCS", "perhaps", id="neither true nor false"),
        pytest.param("MNIST_ROOT_PATH", "digits", id="a prefix without its slash"),
        pytest.param("MNIST_ROOT_PATH", "/digits/../", id="a prefix that leads upwards"),
        pytest.param("MNIST_ROOT_PATH", '/"><script>', id="a prefix that is HTML"),
        pytest.param("MNIST_CORS_ORIGINS", "https://example.org/", id="an origin with a path"),
        pytest.param("MNIST_CORS_ORIGINS", "example.org", id="an origin without a scheme"),
        pytest.param("MNIST_CORS_ORIGINS", "https://example.org,*", id="an origin and all origins"),
        pytest.param("MNIST_CORS_ORIGINS", "null", id="a hidden origin"),
        pytest.param("MNIST_TRUSTED_PROXIES", "10.0.0.1/8", id="a network with host bits"),
        pytest.param("MNIST_TRUSTED_PROXIES", "proxy.example.org", id="a proxy by name"),
        pytest.param("MNIST_TRUSTED_PROXIES", "*", id="all proxies"),
        pytest.param("MNIST_MODEL_VERSION", "newest", id="a version that is not a number"),
        pytest.param("MNIST_MODEL_VERSION", "0", id="version 0"),
    ],
)
def test_a_bad_setting_is_one_line_that_names_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=name) as stopped:
        read_settings()

    message = str(stopped.value)
    assert len(message.splitlines()) == 1
    assert value in message


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        pytest.param({"MNIST_WORKERS": "0"}, r"digits: MNIST_WORKERS: .*", id="a bad setting"),
        pytest.param(
            {"MNIST_HOST": "no.such.host.invalid"},
            r"digits: cannot listen on no\.such\.host\.invalid:8000 .*",
            id="an unknown host",
        ),
    ],
)
def test_the_service_does_not_start_with_a_wrong_setting(environment: dict[str, str], line: str) -> None:
    ended = fresh_python("-m", "app", environment=environment)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert re.fullmatch(line + r"\n", ended.stderr)


def test_a_misspelled_setting_is_reported(modelless: Service) -> None:
    lines = [line for line in modelless.log.read_text().splitlines() if line.startswith("digits: MNIST")]

    assert lines == ["digits: MNIST_API_KEY is not a setting and is ignored. The nearest one is MNIST_API_KEYS"]


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_PORT", "")

    assert Settings().port == 8000


def test_settings_are_frozen() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]
