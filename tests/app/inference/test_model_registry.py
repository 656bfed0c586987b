"""A new version is served without a restart, a damaged one is refused, and removing a version goes back."""

import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from digits.model import artifact
from digits.model.artifact import FIRST_OWN_VERSION, MANIFEST, MODEL
from tests.app.conftest import RELOAD_SECONDS, Reloading, Service, cases
from tests.app.dialects import RAW
from tests.conftest import SHIPPED_VERSION, make_graph, publish_tiny, rewrite

pytestmark = pytest.mark.slow

SERVED, NEXT = FIRST_OWN_VERSION, FIRST_OWN_VERSION + 1
"""The version that is served at the start of each test, and the number of the next one."""


def wait_for_more_refreshes() -> None:
    time.sleep(3 * RELOAD_SECONDS)


def log_lines(service: Service, containing: str) -> list[str]:
    return [line for line in service.log.read_text().splitlines() if containing in line]


def refused_loads(service: Service) -> float:
    (count,) = re.findall(r'digits_model_loads_total\{outcome="refused"\} (.*)', service.client.get("/metrics").text)
    return float(count)


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


def without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def with_other_weights(folder: Path) -> None:
    rewrite(folder, MODEL, make_graph(2))


# The tests of digits/ have every kind of damage.
@pytest.mark.parametrize(
    ("damage", "reason"),
    cases(
        {
            "no manifest": (without_manifest, "manifest.json: missing"),
            "other weights": (with_other_weights, f"version {NEXT}: expected the golden probabilities within"),
            "a link to nothing": (shutil.rmtree, "manifest.json: missing"),
        }
    ),
)
def test_a_damaged_version_is_refused_once_and_the_previous_one_still_serves(
    reloading: Reloading, tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    service = reloading.service
    shutil.copytree(reloading.root, tmp_path / "models")
    damaged = publish_tiny(tmp_path / "models", 1).folder
    damage(damaged)
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


def a_file(path: Path) -> None:
    removed(path)
    path.write_text("")


def a_link_to_itself(path: Path) -> None:
    removed(path)
    path.symlink_to(path)


def without_model(path: Path) -> None:
    shutil.copytree(path, path.with_name("aside"))
    (path / MODEL).unlink()


VERSION = f"{artifact.NAME}/{SERVED}"


@pytest.mark.parametrize(
    ("fault", "place", "served"),
    cases(
        {
            "the root is removed": (removed, "", SERVED),
            "the root is a file": (a_file, "", SERVED),
            "the root cannot be listed": (a_link_to_itself, "", SERVED),
            "the model's folder cannot be listed": (a_link_to_itself, artifact.NAME, SERVED),
            "the version is removed": (removed, VERSION, SHIPPED_VERSION),
            "the version cannot be read": (a_link_to_itself, VERSION, SERVED),
            "the version loses a file": (without_model, VERSION, SERVED),
        }
    ),
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
