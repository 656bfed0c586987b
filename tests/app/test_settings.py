"""Settings come from the environment, once, and a bad one is one line that names it."""

import re

import pytest
from pydantic import ValidationError

from app.settings import Settings
from tests.conftest import fresh_python


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("MNIST_PORT", "eighty", id="a port that is no number"),
        pytest.param("MNIST_PORT", "65536", id="a port one too high"),
        pytest.param("MNIST_PORT", "-1", id="a negative port"),
        pytest.param("MNIST_PORT", "tcp://10.0.0.1:8000", id="a port as Kubernetes' service links have it"),
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
        pytest.param("MNIST_CORS_ORIGINS", "https://example.org,*", id="an origin and all of them"),
        pytest.param("MNIST_CORS_ORIGINS", "null", id="the origin of whoever hides it"),
        pytest.param("MNIST_TRUSTED_PROXIES", "10.0.0.1/8", id="a network with host bits"),
        pytest.param("MNIST_TRUSTED_PROXIES", "proxy.example.org", id="a proxy by name"),
        pytest.param("MNIST_TRUSTED_PROXIES", "*", id="any proxy"),
        pytest.param("MNIST_MODEL_VERSION", "newest", id="a version that is no number"),
        pytest.param("MNIST_MODEL_VERSION", "0", id="version 0"),
    ],
)
def test_a_bad_setting_stops_the_start_with_one_line_that_names_it(name: str, value: str) -> None:
    ended = fresh_python("-m", "app", environment={name: value})

    assert ended.returncode == 1
    assert ended.stdout == ""
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1
    assert name in lines[0]
    assert value in lines[0]


def test_a_host_that_is_none_is_one_line_too() -> None:
    ended = fresh_python("-m", "app", environment={"MNIST_HOST": "no.such.host.invalid"})

    assert ended.returncode == 1
    assert re.fullmatch(r"digits: cannot listen on no\.such\.host\.invalid:8000 .*\n", ended.stderr)


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_PORT", "")

    assert Settings().port == 8000


def test_settings_are_frozen() -> None:
    settings = Settings()

    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]
