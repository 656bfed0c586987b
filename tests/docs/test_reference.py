"""The reference pages say what the code says."""

import json
import re
import runpy
import sys
from inspect import get_annotations
from typing import Any

import pytest
from pydantic import BaseModel

from app import errors
from app.api.query import PredictQuery, TrustQuery
from app.openapi.schemas import DigitPrediction, Mark, Number, NumberDigit, Prediction
from app.settings import Settings
from app.telemetry.access_log import CompletedRequest, log_lines
from app.telemetry.metrics import Metrics
from digits.errors import ArtifactError, PublishFailed
from digits.model.artifact import DEFAULT_ROOT
from tests.conftest import REPOSITORY

REFERENCE = REPOSITORY / "docs/reference"


def table(page: str, heading: str, of_name: str = r"\w+") -> list[list[str]]:
    """Return the cells of the rows under a heading whose first cell is a name in backquotes, without links."""
    text = (REFERENCE / page).read_text().partition(f"\n{heading}\n")[2]
    section = re.split(r"^#+ ", text, maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(rf"^\| `({of_name})` \| (.+) \|$", section, re.MULTILINE)
    return [[name, *re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", cells).split(" | ")] for name, cells in rows]


def values(schema: dict[str, Any]) -> str | None:
    """Return how the page shows the range of a number or the choices of a switch. None for other settings."""
    for each in schema.get("anyOf", [schema]):
        least = each.get("minimum", 1 if each.get("exclusiveMinimum") == 0 else None)
        if least is not None:
            return f"{least} to {each['maximum']}" if "maximum" in each else f"{least} or more"
        if choices := ("true", "false") if each.get("type") == "boolean" else each.get("enum"):
            return ", ".join(f"`{choice}`" for choice in choices)
    return None


def test_the_settings_page_lists_every_setting_as_the_code_has_it() -> None:
    listed = table("settings.md", "## Settings", of_name="MNIST_[A-Z_]+")

    shown = {"None": "none", "()": "none", "": "none", str(DEFAULT_ROOT): f"`{DEFAULT_ROOT}/`"}
    schemas = Settings.model_json_schema()["properties"]
    assert listed == [
        [
            f"MNIST_{name}".upper(),
            shown.get(str(field.default), f"`{field.default}`".lower()),
            values(schemas[name]) or row[2],
            field.description,
        ]
        for row, (name, field) in zip(listed, Settings.model_fields.items(), strict=True)
    ]


@pytest.mark.parametrize(
    ("heading", "models"),
    [
        pytest.param("### Reply", [DigitPrediction, Prediction], id="a prediction"),
        pytest.param("### Query parameters", [TrustQuery, PredictQuery], id="the query"),
        pytest.param("## POST /read", [Number, NumberDigit], id="a number"),
        pytest.param("### Marks", [Mark], id="a mark"),
    ],
)
def test_the_api_page_describes_every_field_as_the_code_does(heading: str, models: list[type[BaseModel]]) -> None:
    fields = {name: model.model_fields[name] for model in models for name in get_annotations(model)}
    described = {name: " ".join(str(field.description).split()) for name, field in fields.items()}

    assert dict(table("http-api.md", heading)) == described


def test_the_metrics_page_lists_every_metric_with_its_type() -> None:
    page = (REFERENCE / "metrics.md").read_text()

    listed = dict(re.findall(r"^\| `((?:digits|process)_\w+)` \| (\w+) \|", page, re.MULTILINE))

    drift = {"digits_reference_share": "gauge", "digits_drift_psi": "gauge"}  # made by app.telemetry.drift
    counted = {metric.name + "_total" * (metric.type == "counter"): metric.type for metric in Metrics().collect()}
    assert listed == counted | drift


WITHOUT_TYPE = {errors.UnknownModel, ArtifactError, PublishFailed}
"""Errors that no problem describes: only other protocols name models, the base class is not raised, and only training
publishes."""


def test_the_api_page_lists_every_type_of_problem_that_is_sent_with_its_status_and_what_to_do() -> None:
    page = (REFERENCE / "http-api.md").read_text()
    kinds = [kind for kind in errors.STATUS if kind not in WITHOUT_TYPE]
    raised = [errors.WrongMethod("PUT", "GET") if kind is errors.WrongMethod else kind("") for kind in kinds]

    replies = [errors.response("/predict", error) for error in (*raised, RuntimeError())]

    sent = [(json.loads(bytes(reply.body))["type"], reply.status_code) for reply in replies]
    refused_preflight = ("about:blank", 400)
    listed = [
        (name, int(status))
        for names, status in re.findall(r"^\| (`(?:urn:|about:)[^|]*) \| (\d{3}) \| [^|]+\. \|$", page, re.MULTILINE)
        for name in re.findall(r"`([a-z:-]+)`", names)
    ]
    assert sorted(listed) == sorted([refused_preflight, *sent])


def test_the_settings_page_lists_every_field_of_the_log() -> None:
    section = (REFERENCE / "settings.md").read_text().partition("\n## Log\n")[2]
    traceparent, span = b"00-%b-%b-01" % (b"1" * 32, b"2" * 16), {"trace_id": "1" * 32, "span_id": "3" * 16}
    request = CompletedRequest("http", "POST", "/predict", b"/predict", "10.0.0.1", b"mine", traceparent, span=span)

    line = json.loads(log_lines([request], "json"))

    first_cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(first_cells)) == list(line)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize(
    "command",
    [
        *("predict", "read", "versions"),
        *(
            pytest.param(name, marks=pytest.mark.training)
            for name in ("describe", "train", "train-finder", "evaluate", "export")
        ),
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

    shown = capsys.readouterr().out.partition("\nOptions:\n")[2]
    options = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", shown, re.MULTILINE)) - {"--help"}
    assert options == set(re.findall(r"`(--[a-z-]+)", row))
    assert not re.search(r"<\w|\[\[", shown), "a type of Python instead of a word for readers"
