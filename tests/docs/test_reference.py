"""The reference pages say what the code says."""

import json
import re
import runpy
import sys

import pytest

from app import errors
from app.settings import Settings
from app.telemetry.access_log import AccessLog, CompletedRequest, SpanIds
from app.telemetry.metrics import Metrics
from digits.model.artifact import SHIPPED
from tests.conftest import REPOSITORY

REFERENCE = REPOSITORY / "docs/reference"


def test_the_settings_page_lists_every_setting_with_its_default() -> None:
    rows = re.findall(
        r"^\| `(MNIST_[A-Z_]+)` \| `?([^`|]+?)`? \|", (REFERENCE / "settings.md").read_text(), re.MULTILINE
    )

    shown = {"None": "none", "()": "none", "": "none", str(SHIPPED): f"{SHIPPED.name}/"}
    defaults = {f"MNIST_{name}".upper(): str(field.default) for name, field in Settings.model_fields.items()}
    assert dict(rows) == {name: shown.get(default, default.lower()) for name, default in defaults.items()}


def test_the_metrics_page_lists_every_metric_with_its_type() -> None:
    page = (REFERENCE / "metrics.md").read_text()

    listed = dict(re.findall(r"^\| `((?:digits|process)_\w+)` \| (\w+) \|", page, re.MULTILINE))

    drift = {"digits_reference_share": "gauge", "digits_drift_psi": "gauge"}  # made by app.telemetry.drift
    counted = {metric.name + "_total" * (metric.type == "counter"): metric.type for metric in Metrics().collect()}
    assert listed == counted | drift


def test_the_api_page_lists_every_error_with_its_status_and_what_to_do() -> None:
    page = (REFERENCE / "http-api.md").read_text()
    listed = {
        name: int(status)
        for names, status in re.findall(
            r"^\| (`urn:digits:[^|]*) \| (\d{3}) \| [^|]+\. \| [^|]+\. \|$", page, re.MULTILINE
        )
        for name in re.findall(r"`urn:digits:([a-z-]+)`", names)
    }

    assert listed == {errors.name(error): status for error, status in errors.STATUS.items()}


def test_the_settings_page_lists_every_field_of_the_log(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    section = (REFERENCE / "settings.md").read_text().partition("\n## Log\n")[2]
    scope = {"type": "http", "method": "POST", "path": "/predict", "client": ("10.0.0.1", 5000)}
    traceparent, span = b"00-%b-%b-01" % (b"1" * 32, b"2" * 16), SpanIds("1" * 32, "3" * 16)
    request = CompletedRequest("http", scope, b"mine", traceparent, "/predict", 200, 0.001, 5, span=span)

    AccessLog("json").write([request])

    line = json.loads(capfdbinary.readouterr().err)
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(line)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(
    "command",
    [
        *("predict", "read", "versions"),
        *(pytest.param(name, marks=pytest.mark.training) for name in ("describe", "train", "evaluate", "export")),
    ],
)
def test_the_commands_page_lists_every_option(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (REFERENCE / "cli.md").read_text()
    row = next(row for row in page.splitlines() if row.startswith(f"| `{command}`"))
    monkeypatch.setattr(sys, "argv", ["digits", command, "--help"])

    with pytest.raises(SystemExit):
        runpy.run_module("cli", run_name="__main__")

    shown = capsys.readouterr().out
    options = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", shown, re.MULTILINE)) - {"--help"}
    assert options == set(re.findall(r"`(--[a-z-]+)", row))
