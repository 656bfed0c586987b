"""`digits serve` has an option for every setting."""

import pytest

from app.settings import Settings
from tests.cli.conftest import Digits, StartedWith


def test_every_setting_is_an_option_with_its_description(digits: Digits) -> None:
    shown = " ".join(digits("serve", "--help").out.split())

    for name, field in Settings.model_fields.items():
        assert f" --{name.replace('_', '-')} " in shown
        assert str(field.description).replace("`", "") in shown


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        pytest.param(["--port", "8001"], "port", 8001, id="a number"),
        pytest.param(["--no-docs"], "docs", False, id="a switch that is turned off"),
        pytest.param(["--require-keys"], "require_keys", True, id="a switch that is turned on"),
        pytest.param(["--model-versions", "1,2"], "model_versions", (1, 2), id="a list"),
        pytest.param(["--model-labels", "stable=1"], "model_labels", (("stable", 1),), id="labels"),
        pytest.param(["--root-path", "/digits/"], "root_path", "/digits", id="a path"),
    ],
)
def test_an_option_sets_its_setting(started_with: StartedWith, options: list[str], name: str, value: object) -> None:
    settings = started_with(*options)

    assert getattr(settings, name) == value
    assert settings.model_fields_set == {"model_dir", name}  # the fixture sets MNIST_MODEL_DIR


def test_an_option_takes_precedence_over_the_environment(
    started_with: StartedWith, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MNIST_PORT", "8001")
    monkeypatch.setenv("MNIST_WORKERS", "2")

    settings = started_with("--port", "8002")

    assert (settings.port, settings.workers) == (8002, 2)


@pytest.mark.parametrize(
    ("options", "environment", "line"),
    [
        pytest.param(
            ["--port", "65536"],
            {},
            "digits: --port: Input should be less than or equal to 65535, received '65536'",
            id="an option",
        ),
        pytest.param(
            ["--port", "8000"],
            {"MNIST_WORKERS": "0"},
            "digits: MNIST_WORKERS: Input should be greater than or equal to 1, received '0'",
            id="a variable",
        ),
    ],
)
def test_a_wrong_value_is_one_line_that_names_its_source(
    digits: Digits, options: list[str], environment: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    refused = digits("serve", *options)

    assert (refused.code, refused.out, refused.err) == (2, "", f"{line}\n")
