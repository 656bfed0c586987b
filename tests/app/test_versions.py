"""One version can be pinned, and all versions can be listed."""

import asyncio
import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.inference.model_registry import ModelRegistry
from digits import artifact
from digits.artifact import MODEL
from digits.classifier import MAX_VERSIONS, Golden
from tests.app.conftest import Service, StartService
from tests.app.test_reload import RAW, lines, version, wait_for, wait_for_version
from tests.conftest import publish_tiny

FAST = {"MNIST_RELOAD_SECONDS": "0.1"}


def listing(service: Service) -> list[dict[str, Any]]:
    versions: list[dict[str, Any]] = service.client.get("/model/versions").json()["versions"]
    return versions


class TestPinned:
    """The service runs with MNIST_MODEL_VERSION=3."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        for seed in range(3):
            publish_tiny(tmp_path / "models", seed)
        assert artifact.versions(tmp_path / "models") == [4, 3, 2]
        return tmp_path / "models"

    @pytest.fixture
    def third(self, root: Path) -> Path:
        return root / artifact.NAME / "3"

    @pytest.fixture
    def pinned(self, start_service: StartService, root: Path) -> Service:
        return start_service(MNIST_MODEL_DIR=str(root), MNIST_MODEL_VERSION="3", **FAST)

    def test_it_is_served_although_there_are_newer_versions(self, pinned: Service, root: Path) -> None:
        pinned.wait_until_ready()

        publish_tiny(root, 4)
        wait_for(lambda: listing(pinned)[0]["version"] == 5, pinned)

        assert pinned.client.post("/predict", **RAW).headers["x-model-version"] == "3"
        reply = pinned.client.get("/model/versions").json()
        assert reply["pinned"] == 3
        assert {known["version"]: known["state"] for known in reply["versions"]} == {
            5: "available",
            4: "available",
            3: "serving",
            2: "available",
            1: "available",
        }

    def test_the_service_is_not_ready_until_it_appears(
        self, start_service: StartService, root: Path, third: Path, tmp_path: Path
    ) -> None:
        third.rename(tmp_path / "aside")
        pinned = start_service(MNIST_MODEL_DIR=str(root), MNIST_MODEL_VERSION="3", **FAST)
        unready = pinned.wait_for_status("/readyz", 503).json()
        refused = pinned.client.post("/predict", **RAW)
        said = lines(pinned, "not ready")

        (tmp_path / "aside").rename(third)
        pinned.wait_until_ready()

        assert unready["reason"].startswith("MNIST_MODEL_VERSION is 3: no usable version 3 of mnist-dense in ")
        assert refused.status_code == 503
        assert len(said) == 1
        assert version(pinned) == 3

    def test_no_other_version_is_served_while_it_is_damaged(
        self, start_service: StartService, root: Path, third: Path
    ) -> None:
        (third / MODEL).unlink()

        pinned = start_service(MNIST_MODEL_DIR=str(root), MNIST_MODEL_VERSION="3", **FAST)

        reason = pinned.wait_for_status("/readyz", 503).json()["reason"]
        assert "MNIST_MODEL_VERSION is 3" in reason
        assert f"{third / MODEL}: missing" in reason
        assert pinned.client.get("/startupz").status_code == 503
        assert listing(pinned)[1] == {
            "version": 3,
            "shipped": False,
            "state": "refused",
            "reason": "model.onnx: missing",
        }

    def test_it_stays_in_service_when_its_folder_is_removed(self, pinned: Service, third: Path) -> None:
        pinned.wait_until_ready()

        shutil.rmtree(third)
        pinned.wait_for_line("(served from memory)")
        time.sleep(0.3)  # three more refreshes

        assert pinned.client.get("/readyz").status_code == 200
        assert version(pinned) == 3
        assert listing(pinned)[1] == {
            "version": 3,
            "shipped": False,
            "state": "serving",
            "reason": "its folder cannot be found; it is served from memory",
        }
        assert len(lines(pinned, "served from memory")) == 1

    def test_a_published_version_takes_precedence_over_a_shipped_one_with_its_number(
        self, start_service: StartService, root: Path
    ) -> None:
        shutil.copytree(root / artifact.NAME / "3", root / artifact.NAME / "1")  # of another number: damaged

        pinned = start_service(MNIST_MODEL_DIR=str(root), MNIST_MODEL_VERSION="1", **FAST)

        reason = pinned.wait_for_status("/readyz", 503).json()["reason"]
        assert "expected version 1, received 3" in reason

    def test_a_shipped_version_can_be_pinned(self, start_service: StartService, root: Path) -> None:
        pinned = start_service(MNIST_MODEL_DIR=str(root), MNIST_MODEL_VERSION="1", **FAST).wait_until_ready()

        assert version(pinned) == 1


class TestListing:
    def test_versions_are_listed_highest_first_with_their_state(
        self, start_service: StartService, tmp_path: Path
    ) -> None:
        root = tmp_path / "models"
        folders = [publish_tiny(root, seed).folder for seed in range(3)]
        (folders[2] / MODEL).unlink()
        service = start_service(MNIST_MODEL_DIR=str(root)).wait_until_ready()

        reply = service.client.get("/model/versions")

        assert reply.json() == {
            "pinned": None,
            "versions": [
                {"version": 4, "shipped": False, "state": "refused", "reason": "model.onnx: missing"},
                {"version": 3, "shipped": False, "state": "serving", "reason": None},
                {"version": 2, "shipped": False, "state": "available", "reason": None},
                {"version": 1, "shipped": True, "state": "available", "reason": None},
            ],
        }
        assert str(tmp_path) not in reply.text

    def test_refused_versions_are_listed_when_no_model_is_served(
        self, start_service: StartService, bare_checkout: Path, tmp_path: Path
    ) -> None:
        (publish_tiny(tmp_path / "models").folder / MODEL).unlink()
        service = start_service(MNIST_MODEL_DIR=str(tmp_path / "models"), cwd=str(bare_checkout))
        service.wait_for_status("/readyz", 503)

        assert [known["state"] for known in listing(service)] == ["refused"]

    def test_the_previous_version_is_available_after_a_newer_one_is_served(
        self, start_service: StartService, tmp_path: Path
    ) -> None:
        publish_tiny(tmp_path, 0)
        service = start_service(MNIST_MODEL_DIR=str(tmp_path), **FAST).wait_until_ready()

        publish_tiny(tmp_path, 1)
        wait_for_version(service, 3)

        assert [known["state"] for known in listing(service)] == ["serving", "available", "available"]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log of `app`, also after `app.telemetry.logs.configure()` has detached it from the root logger."""
    ours = logging.getLogger("app")
    if not ours.propagate:
        ours.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, "app")
    yield caplog
    ours.removeHandler(caplog.handler)


class TestRefresh:
    def test_a_folder_of_thousands_of_versions_is_listed_in_part(self, tmp_path: Path) -> None:
        publish_tiny(tmp_path)
        registry = ModelRegistry(tmp_path)
        registry.refresh()
        for number in range(10, 10 + 3 * MAX_VERSIONS):
            (tmp_path / artifact.NAME / str(number)).mkdir()

        registry.refresh()

        assert registry.classifier.manifest.version == 2
        known = registry.versions()
        assert len(known) == MAX_VERSIONS + 2  # plus the served and the shipped version
        assert {version.state for version in known[:MAX_VERSIONS]} == {"refused"}
        assert [(version.version, version.state) for version in known[-2:]] == [(2, "serving"), (1, "available")]

    def test_a_version_that_fails_its_self_test_is_loaded_again(
        self, tmp_path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        publish_tiny(tmp_path)
        registry = ModelRegistry(tmp_path)
        registry.refresh()
        broken = registry.classifier
        broken.golden = Golden(broken.golden.pixels, np.roll(broken.golden.probabilities, 1))

        async def meanwhile() -> None:
            looking = asyncio.create_task(registry.keep_refreshing(0.01))
            async with asyncio.timeout(20):
                while registry.classifier is broken:
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)  # some more refreshes
            looking.cancel()

        asyncio.run(meanwhile())

        assert registry.unready_reason() is None
        said = [record.message.split(":")[0] for record in log.records if "ready" in record.message]
        assert said == ["not ready", "ready again"]

    def test_a_version_that_fails_its_self_test_and_cannot_be_loaded_again_is_not_ready(
        self, tmp_path: Path, log: pytest.LogCaptureFixture
    ) -> None:
        folder = publish_tiny(tmp_path).folder
        registry = ModelRegistry(tmp_path, pinned=2)
        registry.refresh()
        golden = registry.classifier.golden
        registry.classifier.golden = Golden(golden.pixels, np.roll(golden.probabilities, 1))
        (folder / MODEL).unlink()

        for _ in range(3):
            registry.refresh()

        reason = registry.unready_reason()
        assert reason is not None
        assert "expected the golden probabilities" in reason
        assert [record.message.split(":")[0] for record in log.records if "ready" in record.message] == ["not ready"]

    def test_refreshing_continues_after_a_refresh_that_failed(self, tmp_path: Path) -> None:
        class Unlucky(ModelRegistry):
            refreshes = 0

            def refresh(self) -> None:
                self.refreshes += 1
                if self.refreshes == 1:
                    raise MemoryError
                super().refresh()

        publish_tiny(tmp_path)
        registry = Unlucky(tmp_path)

        async def until_started() -> None:
            looking = asyncio.create_task(registry.keep_refreshing(0.01))
            async with asyncio.timeout(20):
                while not registry.started:
                    await asyncio.sleep(0.01)
            looking.cancel()

        asyncio.run(until_started())

        assert registry.refreshes > 1

    def test_each_load_is_reported_once(self, tmp_path: Path) -> None:
        outcomes: list[str] = []
        publish_tiny(tmp_path, 0)
        (publish_tiny(tmp_path, 1).folder / MODEL).unlink()
        registry = ModelRegistry(tmp_path, on_load=outcomes.append)

        registry.refresh()
        registry.refresh()

        assert outcomes == ["refused", "served"]
