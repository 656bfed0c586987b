"""A new version is served without a restart, a damaged one is refused, and removing a version goes back."""

import os
import re
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

from app.openapi.example_pictures import EXAMPLES
from digits.model import artifact
from digits.model.artifact import GOLDEN, MANIFEST, MODEL
from tests.app.conftest import RELOAD_SECONDS, Reloading, Service
from tests.conftest import SHIPPED_VERSION, make_graph, publish_tiny, rewrite

RAW: dict[str, Any] = {
    "content": (EXAMPLES / "seven.bin").read_bytes(),
    "headers": {"content-type": "application/octet-stream"},
}


SERVED, NEXT = SHIPPED_VERSION + 1, SHIPPED_VERSION + 2
"""The version that is served at the start of each test, and the number of the next one."""


def wait_for_more_refreshes() -> None:
    time.sleep(3 * RELOAD_SECONDS)


def log_lines(service: Service, containing: str) -> list[str]:
    return [line for line in service.log.read_text().splitlines() if containing in line]


def test_no_request_is_lost_while_a_version_is_published_and_removed(reloading: Reloading) -> None:
    outcomes: Counter[tuple[int, int]] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=reloading.service.url) as client:
            while not stop.is_set():
                reply = client.post("/predict", **RAW)
                assert reply.headers["x-model-version"] == str(reply.json()["model"]["version"])
                outcomes[reply.status_code, reply.json()["model"]["version"]] += 1

    with ThreadPoolExecutor(4) as clients:
        tasks = [clients.submit(ask) for _ in range(4)]
        reloading.wait_for(lambda: bool(outcomes))
        new = publish_tiny(reloading.root, 1)
        reloading.wait_for(lambda: (200, NEXT) in outcomes)
        shutil.rmtree(new.folder)
        reloading.wait_for_version(SERVED)
        stop.set()
        for task in tasks:
            task.result()

    assert set(outcomes) == {(200, SERVED), (200, NEXT)}


def cut_short(folder: Path) -> None:
    model = folder / MODEL
    model.write_bytes(model.read_bytes()[:-100])


def without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def with_other_weights(folder: Path) -> None:
    rewrite(folder, MODEL, make_graph(2))


def with_a_fifo(folder: Path) -> None:
    (folder / MODEL).unlink()
    os.mkfifo(folder / MODEL)


# The tests of digits/ have every kind of damage.
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(cut_short, "model.onnx: expected sha256 [0-9a-f]{64}, received [0-9a-f]{64}", id="a wrong hash"),
        pytest.param(without_manifest, "manifest.json: missing", id="no manifest"),
        pytest.param(
            with_other_weights, f"version {NEXT}: expected the golden probabilities within", id="other weights"
        ),
        pytest.param(with_a_fifo, "model.onnx: cannot be read: Not a regular file", id="a FIFO"),
        pytest.param(shutil.rmtree, "manifest.json: missing", id="a link to nothing"),
    ],
)
def test_a_damaged_version_is_refused_once_and_the_previous_one_still_serves(
    reloading: Reloading, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    service = reloading.service
    shutil.copytree(reloading.root, tmp_path / "models")
    damaged = publish_tiny(tmp_path / "models", 1).folder
    damage(damaged)
    before = len(log_lines(service, "not used"))

    reloading.folder(NEXT).symlink_to(damaged)
    reloading.wait_for(lambda: len(log_lines(service, "not used")) > before)
    wait_for_more_refreshes()

    refusals = log_lines(service, "not used")[before:]
    assert len(refusals) == 1
    assert re.search(reason, refusals[0])
    newest = reloading.versions()[0]
    assert newest | {"reason": ""} == {"version": NEXT, "shipped": False, "state": "refused", "reason": ""}
    assert re.match(reason, newest["reason"])
    assert service.client.get("/readyz").status_code == 200
    assert service.client.post("/predict", **RAW).headers["x-model-version"] == str(SERVED)


def removed(path: Path) -> None:
    path.rename(path.with_name("aside"))


def a_file(path: Path) -> None:
    removed(path)
    path.write_text("")


def a_link_to_nothing(path: Path) -> None:
    removed(path)
    path.symlink_to("nowhere")


def a_link_to_itself(path: Path) -> None:
    removed(path)
    path.symlink_to(path)


def without_model(path: Path) -> None:
    shutil.copytree(path, path.with_name("aside"))
    (path / MODEL).unlink()


@pytest.mark.parametrize(
    ("fault", "place", "served"),
    [
        pytest.param(removed, "", SHIPPED_VERSION, id="the root is removed"),
        pytest.param(a_file, "", SHIPPED_VERSION, id="the root is a file"),
        pytest.param(a_link_to_nothing, "", SHIPPED_VERSION, id="the root is a link to nothing"),
        pytest.param(a_link_to_itself, "", SERVED, id="the root cannot be listed"),
        pytest.param(a_link_to_itself, artifact.NAME, SERVED, id="the model's folder cannot be listed"),
        pytest.param(removed, f"{artifact.NAME}/{SERVED}", SHIPPED_VERSION, id="the version is removed"),
        pytest.param(a_file, f"{artifact.NAME}/{SERVED}", SERVED, id="the version is a file"),
        pytest.param(a_link_to_itself, f"{artifact.NAME}/{SERVED}", SERVED, id="the version cannot be read"),
        pytest.param(without_model, f"{artifact.NAME}/{SERVED}", SERVED, id="the version loses a file"),
    ],
)
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


def test_other_bytes_under_the_served_number_are_noticed_though_sizes_and_times_are_equal(
    reloading: Reloading, tmp_path: Path
) -> None:
    builds = []
    for seed in (5, 6):
        shutil.copytree(reloading.root, tmp_path / f"build-{seed}")
        build = publish_tiny(tmp_path / f"build-{seed}", seed).folder
        rewrite(build, GOLDEN, (build / GOLDEN).read_bytes().ljust(100_000))
        for file in [build, *build.rglob("*")]:
            os.utime(file, (0, 0))
        builds.append(build)
    sizes = [{file.name: file.stat().st_size for file in build.iterdir()} for build in builds]
    assert sizes[0] == sizes[1]
    reloading.folder(NEXT).symlink_to(builds[0])
    reloading.wait_for(lambda: reloading.service.client.get("/model").json()["seed"] == 5)

    (reloading.root / "other").symlink_to(builds[1])
    (reloading.root / "other").replace(reloading.folder(NEXT))

    reloading.wait_for(lambda: reloading.service.client.get("/model").json()["seed"] == 6)


@pytest.mark.parametrize("year", [1970, 2100])
def test_a_version_is_served_whatever_the_time_of_its_files(reloading: Reloading, tmp_path: Path, year: int) -> None:
    shutil.copytree(reloading.root, tmp_path / "elsewhere")
    new = publish_tiny(tmp_path / "elsewhere", 1).folder
    for file in [new, *new.rglob("*")]:
        os.utime(file, ((year - 1970) * 31_557_600,) * 2)

    new.rename(reloading.folder(NEXT))

    reloading.wait_for_version(NEXT)


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
