"""Settings come from the environment, once, and a bad one is one line that names it."""

import json

import pytest
from pydantic import ValidationError

from app.settings import Settings, read_settings
from tests.app.conftest import Service, cases
from tests.conftest import fresh_python, last_line


def test_an_invalid_endpoint_for_traces_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_TRACES_ENDPOINT", "http://user:secret@host:99999")

    with pytest.raises(SystemExit, match=r"MNIST_TRACES_ENDPOINT: .*port") as stopped:
        read_settings()

    assert "secret" not in str(stopped.value)


@pytest.mark.parametrize(
    ("name", "value"),
    cases(
        {
            "a port that is not a number": ("MNIST_PORT", "eighty"),
            "a port one too high": ("MNIST_PORT", "65536"),
            "a negative port": ("MNIST_PORT", "-1"),
            "the port variable of a Kubernetes service": ("MNIST_PORT", "tcp://10.0.0.1:8000"),
            "no workers": ("MNIST_WORKERS", "0"),
            "a size with a unit": ("MNIST_MAX_BODY_BYTES", "16M"),
            "no pixels": ("MNIST_MAX_IMAGE_PIXELS", "0"),
            "a negative batch": ("MNIST_MAX_BATCH", "-5"),
            "neither true nor false": ("MNIST_DOCS", "perhaps"),
            "a prefix without its slash": ("MNIST_ROOT_PATH", "digits"),
            "a prefix that leads upwards": ("MNIST_ROOT_PATH", "/digits/../"),
            "a prefix that is HTML": ("MNIST_ROOT_PATH", '/"><script>'),
            "an origin with a path": ("MNIST_CORS_ORIGINS", "https://example.org/"),
            "an origin without a scheme": ("MNIST_CORS_ORIGINS", "example.org"),
            "an origin and all origins": ("MNIST_CORS_ORIGINS", "https://example.org,*"),
            "a hidden origin": ("MNIST_CORS_ORIGINS", "null"),
            "a network with host bits": ("MNIST_TRUSTED_PROXIES", "10.0.0.1/8"),
            "a proxy by name": ("MNIST_TRUSTED_PROXIES", "proxy.example.org"),
            "all proxies": ("MNIST_TRUSTED_PROXIES", "*"),
            "a version that is not a number": ("MNIST_MODEL_VERSION", "newest"),
            "version 0": ("MNIST_MODEL_VERSION", "0"),
        }
    ),
)
def test_a_bad_setting_is_one_line_that_names_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=name) as stopped:
        read_settings()

    message = str(stopped.value)
    assert len(message.splitlines()) == 1
    assert value in message


def test_the_service_does_not_start_on_an_unknown_host() -> None:
    ended = fresh_python("-m", "app", environment={"MNIST_HOST": "no.such.host.invalid"})

    assert (ended.returncode, ended.stdout) == (1, "")
    assert last_line(ended.stderr).startswith("cannot listen on no.such.host.invalid:8000 ")


def test_a_misspelled_setting_is_reported(modelless: Service) -> None:
    line = json.loads(modelless.log.read_text().splitlines()[0])

    expected = "MNIST_API_KEY is not a setting and is ignored. The nearest one is MNIST_API_KEYS_FILE"
    assert (line["level"], line["message"]) == ("WARNING", expected)


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_PORT", "")

    assert Settings().port == 8000


def test_settings_are_frozen() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]
