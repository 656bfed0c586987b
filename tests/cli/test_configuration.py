"""Settings come from options, the environment, a file and defaults, and `digits settings` prints them."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from tests.cli.conftest import Digits, StartedWith


def write(folder: Path, text: str) -> Path:
    file = folder / "digits.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("command", ["serve", "settings"])
def test_every_setting_is_an_option_with_its_description(digits: Digits, command: str) -> None:
    shown = " ".join(digits(command, "--help").out.split())

    for name, field in Settings.model_fields.items():
        assert f" --{name.replace('_', '-')} " in shown
        assert str(field.description).replace("`", "") in shown
    assert not re.search(r"<\w|\[\[", shown), "a type of Python instead of a word for readers"


def test_an_option_beats_the_environment_which_beats_the_file_which_beats_the_default(
    started_with: StartedWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, "port = 1\nmax_requests = 1\nmax_batch = 1\n")
    monkeypatch.setenv("MNIST_PORT", "2")
    monkeypatch.setenv("MNIST_MAX_REQUESTS", "2")

    settings = started_with("--config", file, "--port", 3)

    assert (settings.port, settings.max_requests, settings.max_batch) == (3, 2, 1)
    assert settings.reload_seconds == Settings.model_fields["reload_seconds"].default


@pytest.mark.parametrize(
    ("line", "text", "options"),
    [
        pytest.param("port = 8001", "8001", ["--port", 8001], id="a number"),
        pytest.param("reload_seconds = 0.5", "0.5", ["--reload-seconds", 0.5], id="a fraction"),
        pytest.param("docs = false", "false", ["--no-docs"], id="a switch that is turned off"),
        pytest.param("require_keys = true", "true", ["--require-keys"], id="a switch that is turned on"),
        pytest.param('root_path = "/digits/"', "/digits/", ["--root-path", "/digits/"], id="a text"),
        pytest.param("model_versions = [1, 2]", "1,2", ["--model-versions", "1,2"], id="a list of numbers"),
        pytest.param("model_labels = { a = 1, b = 2 }", "a=1,b=2", ["--model-labels", "a=1,b=2"], id="a table"),
        pytest.param('trusted_proxies = ["10.0.0.0/8"]', "10.0.0.0/8", None, id="a list of networks"),
    ],
)
def test_a_value_means_the_same_in_the_file_in_the_environment_and_as_an_option(
    started_with: StartedWith, line: str, text: str, options: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from_file = started_with("--config", write(tmp_path, line))
    from_options = from_file if options is None else started_with(*options)

    monkeypatch.setenv(f"MNIST_{line.split(maxsplit=1)[0].upper()}", text)
    assert from_file == from_options == started_with()
    assert from_options.model_fields_set <= {"model_dir", line.split(maxsplit=1)[0]}  # the fixture sets MNIST_MODEL_DIR


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("prot = 1", "unknown setting 'prot'. The nearest one is 'port'", id="a misspelled setting"),
        pytest.param("MNIST_PORT = 1", "unknown setting 'MNIST_PORT'. The nearest one is 'port'", id="a variable"),
        pytest.param('cors_origins = ["a.org"]', "cors_origins: expected * or comma-", id="a wrong value in a list"),
        pytest.param("port: 1", "expected TOML: Expected '=' after a key", id="not TOML"),
        pytest.param(None, "cannot read the settings: No such file or directory", id="a missing file"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_it(digits: Digits, text: str | None, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "none.toml" if text is None else write(tmp_path, text)

    refused = digits("serve", "--config", file)

    assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
    assert refused.err.startswith(f"digits: {file}: {reason}")


def test_settings_are_printed_with_their_sources(
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
        ("max_requests = 1024", "default"),
        ("# model_version is not set", "default"),
        ('traces_endpoint = "http://me:hidden@collector:4318/v1/traces"', "MNIST_TRACES_ENDPOINT"),
    } <= set(lines)


def test_the_printed_settings_are_a_usable_file(digits: Digits, started_with: StartedWith, tmp_path: Path) -> None:
    lists = ("--model-labels", "stable=1", "--trusted-proxies", "10.0.0.0/8,::1")
    options = (*lists, "--no-docs", "--port", 8001, "--api-keys-file", "/my \U0001f600")
    printed = write(tmp_path, digits("settings", *options).out)

    settings = started_with("--config", printed)

    assert settings == started_with(*options)
