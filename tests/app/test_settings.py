"""Settings come from the environment, once, and a bad one is one line that names it."""

import json

import pytest

from app.settings import Settings, read_settings, warnings_about
from tests.app.conftest import Service, cases
from tests.conftest import REPOSITORY


def test_an_invalid_endpoint_for_traces_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_TRACES_ENDPOINT", "http://user:secret@host:99999")

    with pytest.raises(SystemExit, match=r"MNIST_TRACES_ENDPOINT: .*port") as stopped:
        read_settings()

    assert "secret" not in str(stopped.value)


@cases(
    ("name", "value"),
    {
        "a port that is not a number": ("MNIST_PORT", "eighty"),
        "a negative port": ("MNIST_PORT", "-1"),
        "the port variable of a Kubernetes service": ("MNIST_PORT", "tcp://10.0.0.1:8000"),
        "no requests": ("MNIST_MAX_REQUESTS", "0"),
        "a size with a unit": ("MNIST_MAX_BODY_BYTES", "16M"),
        "a prefix without its slash": ("MNIST_ROOT_PATH", "digits"),
        "an origin with a path": ("MNIST_CORS_ORIGINS", "https://example.org/"),
        "a network with host bits": ("MNIST_TRUSTED_PROXIES", "10.0.0.1/8"),
        "version 0": ("MNIST_MODEL_VERSION", "0"),
        "a version of ten digits": ("MNIST_MODEL_VERSION", "1234567890"),
        "another version of ten digits": ("MNIST_MODEL_VERSIONS", "1234567890"),
    },
)
def test_a_bad_setting_is_one_line_that_names_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit, match=name) as stopped:
        read_settings()

    message = str(stopped.value)
    assert len(message.splitlines()) == 1
    assert value in message


def test_a_misspelled_setting_is_reported(modelless: Service) -> None:
    line = json.loads(modelless.log.read_text().splitlines()[0])

    expected = "MNIST_API_KEY is not a setting and is ignored. The nearest one is MNIST_API_KEYS_FILE"
    assert (line["level"], line["message"]) == ("WARNING", expected)


def test_a_setting_in_another_case_is_used_and_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Mnist_Port", "8001")
    monkeypatch.setenv("mnist_prot", "8002")

    assert read_settings().port == 8001
    assert warnings_about(Settings()) == ["mnist_prot is not a setting and is ignored. The nearest one is MNIST_PORT"]


def test_whoever_sets_the_number_of_workers_is_told_what_to_do_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_WORKERS", "2")

    (line,) = warnings_about(Settings())

    assert line.startswith("MNIST_WORKERS is not a setting and is ignored. One process uses all cores.")


@pytest.mark.parametrize(
    ("host", "proxies", "warns"),
    [
        ("127.0.0.1", "", False),
        ("localhost", "", False),
        ("::1", "", False),
        ("0.0.0.0", "", True),
        ("::", "", True),
        ("digits.example.org", "", True),
        ("0.0.0.0", "172.16.0.0/12", False),
    ],
)
def test_whoever_lets_other_machines_in_without_a_proxy_is_told_of_the_guide(
    monkeypatch: pytest.MonkeyPatch, host: str, proxies: str, warns: bool
) -> None:
    monkeypatch.setenv("MNIST_HOST", host)
    monkeypatch.setenv("MNIST_TRUSTED_PROXIES", proxies)

    lines = warnings_about(read_settings())

    guide = "docs/how-to/proxy.md"
    assert (REPOSITORY / guide).exists()
    assert [line.endswith(guide) for line in lines] == [True] * warns


def test_keys_in_the_environment_are_refused_because_ignoring_them_would_let_everyone_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MNIST_API_KEYS", "shop:0123456789")

    with pytest.raises(SystemExit, match="Write each key into a file"):
        read_settings()


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_PORT", "")

    assert Settings().port == 8000
