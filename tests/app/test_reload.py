"""A new version is served without a restart, a bad one is not, and going back is removing it."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.documentation import EXAMPLES
from digits import artifact
from tests.app.conftest import Service, StartService
from tests.conftest import publish_tiny

RAW: dict[str, Any] = {
    "content": (EXAMPLES / "seven.bin").read_bytes(),
    "headers": {"content-type": "application/octet-stream"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def serving(start_service: StartService, root: Path) -> Service:
    """A service of version 2, which looks for others ten times a second."""
    assert publish_tiny(root, 0).manifest.version == 2
    return start_service(MNIST_MODEL_DIR=str(root), MNIST_RELOAD_SECONDS="0.1").wait_until_ready()


def version(service: Service) -> int:
    answer: int = service.client.get("/model").json()["version"]
    return answer


def wait_for_version(service: Service, expected: int) -> None:
    deadline = time.monotonic() + 20
    while version(service) != expected:
        assert time.monotonic() < deadline, service.log.read_text()
        time.sleep(0.02)


def test_a_new_version_is_served_and_no_request_is_lost(serving: Service, root: Path) -> None:
    outcomes: Counter[tuple[int, int]] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=serving.url) as client:
            while not stop.is_set():
                reply = client.post("/predict", **RAW)
                assert reply.headers["x-model-version"] == str(reply.json()["model"]["version"])
                outcomes[reply.status_code, reply.json()["model"]["version"]] += 1

    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask) for _ in range(4)]
        time.sleep(0.3)
        publish_tiny(root, 1)
        wait_for_version(serving, 3)
        time.sleep(0.3)
        stop.set()
        for task in asking:
            task.result()

    assert set(outcomes) == {(200, 2), (200, 3)}


def test_removing_the_newest_goes_back_to_the_one_before(serving: Service, root: Path) -> None:
    newest = publish_tiny(root, 1)
    wait_for_version(serving, 3)

    shutil.rmtree(newest.folder)

    wait_for_version(serving, 2)


def test_without_any_of_its_own_the_shipped_one_is_served_again(serving: Service, root: Path) -> None:
    shutil.rmtree(root)

    wait_for_version(serving, 1)


def cut_short(folder: Path) -> None:
    model = folder / artifact.MODEL
    model.write_bytes(model.read_bytes()[:-100])


def without_manifest(folder: Path) -> None:
    (folder / artifact.MANIFEST).unlink()


def of_another_golden(folder: Path) -> None:
    golden = folder / artifact.GOLDEN
    golden.write_bytes(golden.read_bytes().replace(b"0", b"1"))


def out_of_the_folder(folder: Path) -> None:
    (folder / artifact.MODEL).unlink()
    (folder / artifact.MODEL).symlink_to("/dev/zero")


@pytest.mark.parametrize("spoil", [cut_short, without_manifest, of_another_golden, out_of_the_folder])
def test_a_bad_version_is_refused_once_and_the_old_one_serves_on(
    serving: Service, root: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    shutil.copytree(root, tmp_path / "elsewhere")
    bad = publish_tiny(tmp_path / "elsewhere", 1).folder
    spoil(bad)

    bad.rename(root / artifact.NAME / "3")
    time.sleep(1)

    refusals = [line for line in serving.log.read_text().splitlines() if "not used" in line]
    assert len(refusals) == 1, refusals
    assert f"{artifact.NAME}/3" in refusals[0]
    assert version(serving) == 2
    assert serving.client.post("/predict", **RAW).status_code == 200
    assert serving.client.get("/readyz").status_code == 200


def test_a_version_that_is_copied_slowly_is_served_once_it_is_whole(
    serving: Service, root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root, tmp_path / "elsewhere")
    whole = publish_tiny(tmp_path / "elsewhere", 1).folder
    target = root / artifact.NAME / "3"
    target.mkdir()

    for file in sorted(whole.rglob("*")):
        if file.is_file():
            place = target / file.relative_to(whole)
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, place)
            time.sleep(0.3)

    wait_for_version(serving, 3)


def test_what_is_no_number_is_no_version(serving: Service, root: Path) -> None:
    shutil.copytree(root / artifact.NAME / "2", root / artifact.NAME / "03")
    shutil.copytree(root / artifact.NAME / "2", root / artifact.NAME / "new")
    time.sleep(1)

    assert version(serving) == 2
    assert "not used" not in serving.log.read_text()
