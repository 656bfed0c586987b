"""The operator can pin one version, and `/model/versions` lists all versions with their state."""

import asyncio
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference.model_registry import ModelRegistry, Version
from digits.model import artifact
from digits.model.artifact import MODEL
from digits.model.classifier import Golden
from tests.app.conftest import DAMAGED, FIRST, FOURTH, SECOND, THIRD, Service
from tests.conftest import SHIPPED_VERSION, publish_tiny


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the first three published versions."""
    for seed in range(3):
        publish_tiny(tmp_path / "models", seed)
    assert artifact.versions(tmp_path / "models") == [THIRD, SECOND, FIRST]
    return tmp_path / "models"


def folder(root: Path, number: int) -> Path:
    return root / artifact.NAME / str(number)


def refreshed(root: Path, *, pinned: int | None = None) -> ModelRegistry:
    registry = ModelRegistry(root, pinned)
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


class TestPinned:
    def test_a_missing_one_is_reported_once_and_served_when_it_appears(
        self, root: Path, tmp_path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        folder(root, SECOND).rename(tmp_path / "aside")
        registry = refreshed(root, pinned=SECOND)
        registry.refresh()
        assert not registry.started

        (tmp_path / "aside").rename(folder(root, SECOND))
        registry.refresh()

        assert registry.unready_reason() is None
        assert registry.classifier.manifest.version == SECOND
        assert readiness_changes(log) == ["not ready"]

    def test_no_other_version_replaces_a_damaged_one(self, root: Path) -> None:
        (folder(root, SECOND) / MODEL).unlink()

        registry = refreshed(root, pinned=SECOND)

        reason = registry.unready_reason()
        assert reason is not None
        assert f"MNIST_MODEL_VERSION is {SECOND}" in reason
        assert f"MNIST_MODEL_DIR/mnist-dense/{SECOND}/model.onnx: missing" in reason
        assert not registry.started
        assert registry.versions()[1] == Version(SECOND, shipped=False, state="refused", reason="model.onnx: missing")

    def test_one_whose_folder_is_removed_stays_in_memory(self, root: Path, log: pytest.LogCaptureFixture) -> None:
        registry = refreshed(root, pinned=SECOND)
        shutil.rmtree(folder(root, SECOND))

        for _ in range(3):
            registry.refresh()

        assert registry.unready_reason() is None
        assert registry.classifier.manifest.version == SECOND
        reason = "its folder cannot be found; it is served from memory"
        assert registry.versions()[1] == Version(SECOND, shipped=False, state="serving", reason=reason)
        assert sum("served from memory" in record.message for record in log.records) == 1


class TestNamedFolder:
    def test_one_that_does_not_exist_is_reported_once_and_served_when_it_appears(
        self, root: Path, tmp_path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        named = tmp_path / "named"
        registry = refreshed(named)
        registry.refresh()
        reason = registry.unready_reason()

        root.rename(named)
        registry.refresh()

        assert reason == "no usable version of mnist-dense in MNIST_MODEL_DIR; MNIST_MODEL_DIR does not exist"
        assert any(f"{named} does not exist" in record.message for record in log.records)
        assert registry.classifier.manifest.version == THIRD
        assert readiness_changes(log) == ["not ready"]

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


class TestRefreshing:
    def test_a_version_that_computes_wrongly_is_loaded_again(
        self, tmp_path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        publish_tiny(tmp_path)
        registry = refreshed(tmp_path)
        broken = registry.classifier
        broken.golden = Golden(broken.golden.pixels, np.roll(broken.golden.probabilities, 1))

        for _ in range(3):
            registry.refresh()

        assert registry.classifier is not broken
        assert registry.unready_reason() is None
        assert readiness_changes(log) == ["not ready", "ready again"]

    def test_the_service_is_not_ready_if_a_version_that_computes_wrongly_cannot_be_loaded_again(
        self, tmp_path: Path, log: pytest.LogCaptureFixture
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

    def test_refreshing_continues_after_a_failure(self, tmp_path: Path) -> None:
        class FailingOnce(ModelRegistry):
            refreshes = 0

            def refresh(self) -> None:
                self.refreshes += 1
                if self.refreshes == 1:
                    raise MemoryError
                super().refresh()

        publish_tiny(tmp_path)
        registry = FailingOnce(tmp_path)

        async def wait_until_started() -> None:
            refreshing = asyncio.create_task(registry.keep_refreshing(0.01))
            async with asyncio.timeout(20):
                while not registry.started:
                    await asyncio.sleep(0.01)
            refreshing.cancel()

        asyncio.run(wait_until_started())

        assert registry.refreshes > 1
