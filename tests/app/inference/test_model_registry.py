"""A new version is served without a restart, a damaged one is refused, and removal goes back. One can be pinned."""

import logging
import re
import shutil
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference.model_registry import KnownVersion, ModelRegistry
from app.settings import Settings
from app.telemetry.metrics import Metrics
from digits.model import artifact
from digits.model.artifact import FIRST_OWN_VERSION, MODEL
from digits.model.classifier import Golden
from tests.app.conftest import DAMAGED, FIRST, FOURTH, RELOAD_SECONDS, SECOND, THIRD, Reloading, Service, cases
from tests.app.dialects import RAW
from tests.conftest import SHIPPED_VERSION, make_graph, publish_tiny, rewrite
from tests.load import HttpClient, Load

SERVED, NEXT = FIRST_OWN_VERSION, FIRST_OWN_VERSION + 1
"""The version that is served at the start of each test, and the number of the next one."""


def wait_for_more_refreshes() -> None:
    time.sleep(3 * RELOAD_SECONDS)


def log_lines(service: Service, containing: str) -> list[str]:
    return [line for line in service.log.read_text().splitlines() if containing in line]


def refused_loads(service: Service) -> float:
    (count,) = re.findall(r'digits_model_loads_total\{outcome="refused"\} (.*)', service.client.get("/metrics").text)
    return float(count)


@pytest.mark.slow
def test_no_request_is_lost_while_a_version_is_published_and_removed(reloading: Reloading) -> None:
    load = Load(HttpClient(HTTPConnection("127.0.0.1", reloading.service.port, timeout=20)) for _ in range(4))

    with load.running():
        load.wait_for(1)
        new = publish_tiny(reloading.root, 1)
        load.wait_for(1, str(NEXT))
        shutil.rmtree(new.folder)
        reloading.wait_for_version(SERVED)

    assert load.outcomes.keys() == {"200"}
    assert load.versions.keys() == {str(SERVED), str(NEXT)}


@pytest.mark.slow
def test_a_damaged_version_is_refused_once_and_the_previous_one_still_serves(
    reloading: Reloading, tmp_path: Path
) -> None:
    service = reloading.service
    reason = f"version {NEXT}: expected the golden probabilities within"
    shutil.copytree(reloading.root, tmp_path / "models")
    damaged = publish_tiny(tmp_path / "models", 1).folder
    rewrite(damaged, MODEL, make_graph(2))  # the tests of digits/ have every kind of damage
    before, counted = len(log_lines(service, "not used")), refused_loads(service)

    reloading.folder(NEXT).symlink_to(damaged)
    reloading.wait_for(lambda: len(log_lines(service, "not used")) > before)
    wait_for_more_refreshes()

    refusals = log_lines(service, "not used")[before:]
    assert len(refusals) == 1
    assert refused_loads(service) == counted + 1
    assert re.search(reason, refusals[0])
    newest = reloading.versions()[0]
    assert newest | {"reason": ""} == {"version": NEXT, "shipped": False, "state": "refused", "reason": ""}
    assert re.match(reason, newest["reason"])
    assert service.client.get("/readyz").status_code == 200
    assert service.client.post("/predict", **RAW).headers["x-model-version"] == str(SERVED)


def removed(path: Path) -> None:
    path.rename(path.with_name("aside"))


def a_link_to_itself(path: Path) -> None:
    removed(path)
    path.symlink_to(path)


def without_model(path: Path) -> None:
    shutil.copytree(path, path.with_name("aside"))
    (path / MODEL).unlink()


VERSION = f"{artifact.NAME}/{SERVED}"


@cases(
    ("fault", "place", "served"),
    {
        "the root is removed": (removed, "", SERVED),
        "the root cannot be listed": (a_link_to_itself, "", SERVED),
        "the version is removed": (removed, VERSION, SHIPPED_VERSION),
        "the version loses a file": (without_model, VERSION, SERVED),
    },
)
@pytest.mark.slow
def test_every_request_is_answered_whatever_happens_to_the_folder_and_only_removal_goes_back(
    reloading: Reloading, fault: Callable[[Path], None], place: str, served: int
) -> None:
    statuses = set()

    fault(reloading.root / place)
    until = time.monotonic() + 3 * RELOAD_SECONDS
    while time.monotonic() < until:
        statuses.add(reloading.service.client.post("/predict", **RAW).status_code)
        statuses.add(reloading.service.client.get("/readyz").status_code)

    reloading.wait_for_version(served)
    assert statuses == {200}


@pytest.mark.slow
def test_a_version_that_is_copied_slowly_is_served_once_it_is_complete(reloading: Reloading, tmp_path: Path) -> None:
    shutil.copytree(reloading.root, tmp_path / "elsewhere")
    source = publish_tiny(tmp_path / "elsewhere", 1).folder
    reloading.folder(NEXT).mkdir()

    for file in sorted(file for file in source.rglob("*") if file.is_file()):
        copy = reloading.folder(NEXT) / file.relative_to(source)
        copy.parent.mkdir(exist_ok=True)
        shutil.copyfile(file, copy)
        wait_for_more_refreshes()

    reloading.wait_for_version(NEXT)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the first three published versions."""
    for seed in range(3):
        publish_tiny(tmp_path / "models", seed)
    assert artifact.versions(tmp_path / "models") == [THIRD, SECOND, FIRST]
    return tmp_path / "models"


def refreshed(root: Path, *, pinned: int | None = None) -> ModelRegistry:
    registry = ModelRegistry(Settings(model_dir=root, model_version=pinned), Metrics())
    registry.refresh()
    return registry


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log of `app`, also after `app.telemetry.logs.configure()` has detached it from the root logger."""
    logger = logging.getLogger("app")
    if not logger.propagate:
        logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, "app")
    yield caplog
    logger.removeHandler(caplog.handler)


def readiness_changes(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.message.split(":")[0] for record in log.records if record.message.startswith(("not ready", "ready"))]


PLACE = "mnist-dense in MNIST_MODEL_DIR"


@cases(
    ("pinned", "served", "reason"),
    {
        "a pinned version": (SECOND, SECOND, f"MNIST_MODEL_VERSION is {SECOND}: no usable version {SECOND} of {PLACE}"),
        "a named folder": (None, THIRD, f"no usable version of {PLACE}; MNIST_MODEL_DIR does not exist"),
    },
)
def test_what_is_missing_is_reported_once_and_served_when_it_appears(
    root: Path, tmp_path: Path, log: pytest.LogCaptureFixture, pinned: int | None, served: int, reason: str
) -> None:
    place = root if pinned is None else root / artifact.NAME / str(pinned)
    place.rename(tmp_path / "aside")
    registry = refreshed(root, pinned=pinned)
    registry.refresh()
    missing, started = registry.unready_reason(), registry.started

    (tmp_path / "aside").rename(place)
    registry.refresh()

    assert (missing, started) == (reason, False)
    assert pinned or any(f"{root} does not exist" in record.message for record in log.records)
    assert registry.unready_reason() is None
    assert registry.classifier.manifest.version == served
    assert readiness_changes(log) == ["not ready"]


def test_no_other_version_replaces_a_damaged_pinned_one(root: Path) -> None:
    (root / artifact.NAME / str(SECOND) / MODEL).unlink()

    registry = refreshed(root, pinned=SECOND)

    reason = str(registry.unready_reason())
    assert f"MNIST_MODEL_VERSION is {SECOND}" in reason
    assert f"MNIST_MODEL_DIR/mnist-dense/{SECOND}/model.onnx: missing" in reason
    assert not registry.started
    assert registry.versions()[1] == KnownVersion(SECOND, shipped=False, state="refused", reason="model.onnx: missing")


class TestNamedFolder:
    def test_one_without_versions_serves_the_shipped_model_with_one_warning_until_a_version_appears(
        self, tmp_path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        registry = refreshed(tmp_path)
        registry.refresh()
        served, warnings = registry.classifier.manifest.version, registry.warnings["choice"]

        publish_tiny(tmp_path)
        registry.refresh()

        assert served == SHIPPED_VERSION
        assert warnings == ["MNIST_MODEL_DIR has no mnist-dense/<version>/, so the shipped model is used"]
        logged = [record.message for record in log.records if record.levelno == logging.WARNING]
        assert logged == [f"{tmp_path} has no mnist-dense/<version>/, so the shipped model is used"]
        assert (registry.classifier.manifest.version, [*registry.warnings.values()]) == (FIRST, [[], [], []])

    def test_a_damaged_version_beside_a_good_one_is_a_warning_after_a_restart_until_it_is_gone(
        self, tmp_path: Path
    ) -> None:
        publish_tiny(tmp_path)
        damaged = publish_tiny(tmp_path).folder
        (damaged / "golden.json").write_text("{")
        registry = refreshed(tmp_path)
        served, warnings = registry.classifier.manifest.version, registry.warnings["version"]

        shutil.rmtree(damaged)
        registry.refresh()

        assert served == FIRST
        assert [line.partition(": expected")[0] for line in warnings] == [
            f"not used: MNIST_MODEL_DIR/mnist-dense/{damaged.name}/golden.json"
        ]
        assert registry.warnings["version"] == []


def test_a_folder_with_too_high_a_number_is_one_warning_for_each_name(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    publish_tiny(tmp_path)
    highest, next_highest = (tmp_path / artifact.NAME / name for name in ("20261201120000", "1234567890"))
    next_highest.mkdir()
    registry = refreshed(tmp_path)
    (next_highest / "manifest.json").write_text("{}")
    registry.refresh()
    highest.mkdir()

    for _ in range(3):
        registry.refresh()

    reasons = [
        f"not used: {folder}: expected a version number of at most nine digits, received {count} digits"
        for folder, count in ((next_highest, 10), (highest, 14))
    ]
    assert [record.message for record in log.records if record.levelno == logging.WARNING] == reasons
    assert registry.warnings["version"] == [
        reason.replace(str(tmp_path), "MNIST_MODEL_DIR") for reason in reversed(reasons)
    ]
    assert registry.classifier.manifest.version == FIRST
    assert registry.unready_reason() is None


def test_the_service_is_not_ready_if_a_version_that_computes_wrongly_cannot_be_loaded_again(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    published = publish_tiny(tmp_path)
    registry = refreshed(tmp_path, pinned=FIRST)
    golden = registry.classifier.golden
    registry.classifier.golden = Golden(golden.pixels, np.roll(golden.probabilities, 1))
    (published.folder / MODEL).unlink()

    for _ in range(3):
        registry.refresh()

    assert "expected the golden probabilities" in str(registry.unready_reason())
    assert readiness_changes(log) == ["not ready"]


def test_a_service_with_a_pinned_version_serves_and_lists_it(several: Service) -> None:
    states = {DAMAGED: "refused", FOURTH: "available", THIRD: "serving", SECOND: "available", FIRST: "available"}
    states[SHIPPED_VERSION] = "available"
    versions: list[dict[str, Any]] = [
        {"version": number, "shipped": number < FIRST, "state": state, "reason": None}
        for number, state in states.items()
    ]
    versions[0]["reason"] = "model.onnx: missing"

    assert several.client.get("/model").json()["version"] == THIRD
    assert several.client.get("/model/versions").json() == {"pinned": THIRD, "versions": versions}
