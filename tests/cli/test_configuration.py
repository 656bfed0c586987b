"""Settings come from options, the environment, a file and defaults, and `digits settings` prints them."""

import tomllib
from pathlib import Path

import pytest

from app.settings import Settings
from cli.configuration import variable
from tests.cli.conftest import Digits, StartedWith


def write(folder: Path, text: str) -> Path:
    file = folder / "digits.toml"
    file.write_text(text)
    return file


def test_an_option_beats_the_environment_which_beats_the_file_which_beats_the_default(
    started_with: StartedWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, "port = 1\nworkers = 1\nmax_batch = 1\n")
    monkeypatch.setenv("MNIST_PORT", "2")
    monkeypatch.setenv("MNIST_WORKERS", "2")

    settings = started_with("--config", file, "--port", 3)

    assert (settings.port, settings.workers, settings.max_batch) == (3, 2, 1)
    assert settings.max_requests == Settings.model_fields["max_requests"].default


def test_an_installed_command_looks_for_models_in_the_working_directory(
    started_with: StartedWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MNIST_MODEL_DIR")

    assert started_with().model_dir == Path("models")
    assert started_with("--config", write(tmp_path, 'model_dir = "own"')).model_dir == Path("own")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        pytest.param("model_version = 2", "2", id="a number"),
        pytest.param("reload_seconds = 0.5", "0.5", id="a fraction"),
        pytest.param("docs = false", "false", id="a switch"),
        pytest.param('root_path = "/digits/"', "/digits/", id="a text"),
        pytest.param("model_versions = [1, 2]", "1,2", id="a list of numbers"),
        pytest.param('model_versions = "1,2"', "1,2", id="a list as the environment has it"),
        pytest.param("model_labels = { stable = 1, canary = 2 }", "stable=1,canary=2", id="a table"),
        pytest.param('cors_origins = ["https://a.org"]', "https://a.org", id="a list of origins"),
        pytest.param('trusted_proxies = ["10.0.0.0/8"]', "10.0.0.0/8", id="a list of networks"),
        pytest.param("trusted_proxies = []", "", id="an empty list means the default"),
    ],
)
def test_a_value_in_the_file_means_the_same_as_in_the_environment(
    started_with: StartedWith, line: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_file = started_with("--config", write(tmp_path, line))

    monkeypatch.setenv(variable(line.split(maxsplit=1)[0]), text)
    assert from_file == started_with()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("prot = 1", "unknown setting 'prot'. The nearest one is 'port'", id="a misspelled setting"),
        pytest.param("max-batch = 1", "unknown setting 'max-batch'. The nearest one is 'max_batch'", id="a hyphen"),
        pytest.param("MNIST_PORT = 1", "unknown setting 'MNIST_PORT'. The nearest one is 'port'", id="a variable"),
        pytest.param("[ports]\nx = 1", "unknown setting 'ports'. The nearest one is 'port'", id="a section"),
        pytest.param(
            "port = 65536", "port: Input should be less than or equal to 65535, received 65536", id="a wrong value"
        ),
        pytest.param(
            'cors_origins = ["example.org"]',
            "cors_origins: expected * or comma-separated origins such as https://example.org, in lower case and "
            "without a path, received 'example.org'",
            id="a wrong value in a list",
        ),
        pytest.param(
            'api_keys = ["secret"]',
            "unknown setting 'api_keys'. The nearest one is 'api_keys_file'",
            id="keys, which earlier versions read here",
        ),
        pytest.param(
            "port: 1",
            "expected TOML: Expected '=' after a key in a key/value pair (at line 1, column 5)",
            id="not TOML",
        ),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(digits: Digits, text: str, reason: str, tmp_path: Path) -> None:
    file = write(tmp_path, text)

    refused = digits("serve", "--config", file)

    assert (refused.code, refused.out, refused.err) == (2, "", f"digits: {file}: {reason}\n")


def test_a_missing_file_is_one_line(digits: Digits, tmp_path: Path) -> None:
    refused = digits("serve", "--config", tmp_path / "none.toml")

    assert refused.code == 2
    assert refused.err == f"digits: {tmp_path / 'none.toml'}: cannot read the settings: No such file or directory\n"


def test_the_settings_in_force_are_printed_with_their_sources(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, "max_batch = 7\n")
    monkeypatch.setenv("MNIST_MODEL_LABELS", "stable=1")
    monkeypatch.setenv("MNIST_TRACES_ENDPOINT", "http://me:pass@collector:4318/v1/traces")

    printed = digits("settings", "--config", file, "--port", 8001)

    assert (printed.code, printed.err) == (0, "")
    lines = [tuple(part.strip() for part in line.rsplit("  # ", 1)) for line in printed.out.splitlines()]
    assert len(lines) == len(Settings.model_fields)
    assert {
        ("port = 8001", "--port"),
        ('model_labels = ["stable=1"]', "MNIST_MODEL_LABELS"),
        ("max_batch = 7", str(file)),
        ("workers = 1", "default"),
        ("# model_version is not set", "default"),
        ('traces_endpoint = "http://me:hidden@collector:4318/v1/traces"', "MNIST_TRACES_ENDPOINT"),
    } <= set(lines)


def test_the_printed_settings_are_a_file_with_the_same_settings(
    digits: Digits, started_with: StartedWith, tmp_path: Path
) -> None:
    options = ("--model-labels", "stable=1", "--trusted-proxies", "10.0.0.0/8,::1", "--no-docs", "--port", 8001)
    printed = write(tmp_path, digits("settings", *options).out)

    settings = started_with("--config", printed)

    assert settings == started_with(*options)
    assert tomllib.loads(printed.read_text())["docs"] is False
