"""A new version is served without a restart, a bad one is refused, and removing the newest goes back."""

import json
import os
import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.openapi.example_pictures import EXAMPLES
from digits import artifact
from digits.artifact import GOLDEN, MANIFEST, MODEL
from tests.app.conftest import Service, StartService
from tests.conftest import edit_manifest, make_graph, publish_tiny, rewrite

RAW: dict[str, Any] = {
    "content": (EXAMPLES / "seven.bin").read_bytes(),
    "headers": {"content-type": "application/octet-stream"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def registry(start_service: StartService, root: Path) -> Service:
    """A service of version 2 that looks for new versions ten times a second."""
    assert publish_tiny(root, 0).manifest.version == 2
    return start_service(MNIST_MODEL_DIR=str(root), MNIST_RELOAD_SECONDS="0.1").wait_until_ready()


def version(service: Service) -> int:
    answer: int = service.client.get("/model").json()["version"]
    return answer


def wait_for(condition: Callable[[], bool], service: Service) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, service.log.read_text()
        time.sleep(0.02)


def wait_for_version(service: Service, expected: int) -> None:
    wait_for(lambda: version(service) == expected, service)


def test_a_new_version_is_served_and_no_request_is_lost(registry: Service, root: Path) -> None:
    outcomes: Counter[tuple[int, int]] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=registry.url) as client:
            while not stop.is_set():
                reply = client.post("/predict", **RAW)
                assert reply.headers["x-model-version"] == str(reply.json()["model"]["version"])
                outcomes[reply.status_code, reply.json()["model"]["version"]] += 1

    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(ask) for _ in range(4)]
        time.sleep(0.3)
        publish_tiny(root, 1)
        wait_for_version(registry, 3)
        time.sleep(0.3)
        stop.set()
        for task in asking:
            task.result()

    assert set(outcomes) == {(200, 2), (200, 3)}


def test_removing_the_newest_goes_back_to_the_one_before(registry: Service, root: Path) -> None:
    newest = publish_tiny(root, 1)
    wait_for_version(registry, 3)

    shutil.rmtree(newest.folder)

    wait_for_version(registry, 2)


def test_when_all_published_versions_are_removed_the_shipped_one_is_served(registry: Service, root: Path) -> None:
    shutil.rmtree(root)

    wait_for_version(registry, 1)


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    """A service of version 2 and its model folder, shared by the tests that leave both unchanged."""
    folder = tmp_path_factory.mktemp("steady")
    publish_tiny(folder / "models", 0)
    settings = {"MNIST_MODEL_DIR": str(folder / "models"), "MNIST_RELOAD_SECONDS": "0.1"}
    service = Service(folder / "service.log", settings).wait_until_ready()
    yield service, folder / "models"
    service.stop()


def lines(service: Service, containing: str) -> list[str]:
    return [line for line in service.log.read_text().splitlines() if containing in line]


def cut_short(folder: Path) -> None:
    model = folder / MODEL
    model.write_bytes(model.read_bytes()[:-100])


def without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def with_other_bytes(folder: Path) -> None:
    golden = folder / GOLDEN
    golden.write_bytes(golden.read_bytes().replace(b"0", b"1"))


def with_another_input(folder: Path) -> None:
    rewrite(folder, MODEL, make_graph(1, input_name="pixels"))


def with_another_output(folder: Path) -> None:
    rewrite(folder, MODEL, make_graph(1, output_name="y"))


def with_other_weights(folder: Path) -> None:
    rewrite(folder, MODEL, make_graph(2))


def with_deep_json(folder: Path) -> None:
    rewrite(folder, GOLDEN, b'{"images":' + b"[" * 500_000)


def with_huge_golden(folder: Path) -> None:
    rewrite(folder, GOLDEN, b'{"images":[' + b"0," * 1_000_000 + b"0]}")


def with_sparse_model(folder: Path) -> None:
    os.truncate(folder / MODEL, 10 * 1024**3)


def with_many_files(folder: Path) -> None:
    files = json.loads((folder / MANIFEST).read_bytes())["files"]
    edit_manifest(folder, {"files": files | {f"report/{number}": "0" for number in range(100_000)}})


def with_a_device(folder: Path) -> None:
    (folder / MODEL).unlink()
    (folder / MODEL).symlink_to("/dev/zero")


def with_a_fifo(folder: Path) -> None:
    (folder / MODEL).unlink()
    os.mkfifo(folder / MODEL)


def with_a_link_out(folder: Path) -> None:
    shutil.copyfile(folder / MODEL, folder.parent.parent / "elsewhere")
    (folder / MODEL).unlink()
    (folder / MODEL).symlink_to(folder.parent.parent / "elsewhere")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(cut_short, "model.onnx: expected sha256 [0-9a-f]{64}, received [0-9a-f]{64}", id="cut short"),
        pytest.param(with_other_bytes, "golden.json: expected sha256 [0-9a-f]{64}, received", id="wrong hash"),
        pytest.param(without_manifest, "manifest.json: missing", id="half copied"),
        pytest.param(with_another_input, "model.onnx of version 3: expected input", id="wrong input"),
        pytest.param(with_another_output, "model.onnx of version 3: expected output", id="wrong output"),
        pytest.param(with_other_weights, "version 3: expected the golden probabilities within", id="wrong golden"),
        pytest.param(with_deep_json, "golden.json: .*recursion", id="deep JSON"),
        pytest.param(with_huge_golden, "golden.json: expected at most 1048576 bytes", id="huge golden"),
        pytest.param(with_sparse_model, "model.onnx: expected at most 67108864 bytes", id="10 GB of nothing"),
        pytest.param(with_many_files, "manifest.json: expected at most 1048576 bytes", id="100 000 files"),
        pytest.param(with_a_device, "model.onnx: expected a file of the version, received a link", id="a device"),
        pytest.param(with_a_link_out, "model.onnx: expected a file of the version, received a link", id="a link out"),
        pytest.param(with_a_fifo, "model.onnx: cannot be read: Not a regular file", id="a FIFO"),
        pytest.param(shutil.rmtree, "manifest.json: missing", id="a link to nothing"),
    ],
)
def test_a_bad_version_is_refused_once_and_the_previous_one_stays(
    steady: tuple[Service, Path], tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    service, root = steady
    shutil.copytree(root, tmp_path / "models")
    bad = publish_tiny(tmp_path / "models", 1).folder
    spoil(bad)
    place = root / artifact.NAME / "3"
    before = len(lines(service, "not used"))

    place.symlink_to(bad)
    wait_for(lambda: len(lines(service, "not used")) > before, service)
    time.sleep(0.3)  # three more refreshes
    refusals = lines(service, "not used")[before:]
    listed = service.client.get("/model/versions").json()["versions"]
    answers = [service.client.post("/predict", **RAW), service.client.get("/readyz")]
    place.unlink()

    assert len(refusals) == 1, refusals
    assert re.search(reason, refusals[0])
    assert listed[0] | {"reason": ""} == {"version": 3, "shipped": False, "state": "refused", "reason": ""}
    assert re.match(reason, listed[0]["reason"])
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["x-model-version"] == "2"


def test_a_folder_whose_name_is_not_a_number_is_ignored(steady: tuple[Service, Path]) -> None:
    service, root = steady
    name = root / artifact.NAME
    before = len(lines(service, "not used"))
    for other in ("03", "new", "-3", "3.0"):
        shutil.copytree(name / "2", name / other)

    time.sleep(0.5)

    listed = [known["version"] for known in service.client.get("/model/versions").json()["versions"]]
    for other in ("03", "new", "-3", "3.0"):
        shutil.rmtree(name / other)
    assert version(service) == 2
    assert listed == [2, 1]
    assert len(lines(service, "not used")) == before


def gone(path: Path) -> None:
    path.rename(path.with_name("aside"))


def a_file(path: Path) -> None:
    gone(path)
    path.write_text("")


def a_link_to_nothing(path: Path) -> None:
    gone(path)
    path.symlink_to("nowhere")


def a_link_to_itself(path: Path) -> None:
    gone(path)
    path.symlink_to(path)


def without_model(path: Path) -> None:
    shutil.copytree(path, path.with_name("aside"))
    (path / MODEL).unlink()


WHOLE = {"version": 2, "shipped": False, "state": "serving", "reason": None}


def repair(path: Path) -> None:
    """Undo one of the faults above."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.with_name("aside").rename(path)


@pytest.mark.parametrize(
    ("fault", "below", "meanwhile"),
    [
        pytest.param(gone, "", 1, id="the root is removed"),
        pytest.param(a_file, "", 1, id="the root is a file"),
        pytest.param(a_link_to_nothing, "", 1, id="the root is a link to nothing"),
        pytest.param(a_link_to_itself, "", 2, id="the root cannot be listed"),
        pytest.param(a_link_to_itself, artifact.NAME, 2, id="the model's folder cannot be listed"),
        pytest.param(gone, f"{artifact.NAME}/2", 1, id="the version is removed"),
        pytest.param(a_file, f"{artifact.NAME}/2", 2, id="the version is a file"),
        pytest.param(a_link_to_itself, f"{artifact.NAME}/2", 2, id="the version cannot be read"),
        pytest.param(without_model, f"{artifact.NAME}/2", 2, id="the version loses a file"),
    ],
)
def test_every_request_is_answered_while_the_folder_is_damaged_and_only_removal_goes_back(
    steady: tuple[Service, Path], fault: Callable[[Path], None], below: str, meanwhile: int
) -> None:
    service, root = steady
    wait_for_version(service, 2)
    statuses = set()

    fault(root / below)
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        statuses.add(service.client.post("/predict", **RAW).status_code)
        statuses.add(service.client.get("/readyz").status_code)
    served = version(service)
    repair(root / below)

    wait_for_version(service, 2)
    assert statuses == {200}
    assert served == meanwhile
    wait_for(lambda: service.client.get("/model/versions").json()["versions"][0] == WHOLE, service)


def test_a_changed_version_is_loaded_even_if_its_sizes_and_times_are_the_same(
    start_service: StartService, root: Path, tmp_path: Path
) -> None:
    builds = [publish_tiny(tmp_path / f"build-{seed}", seed).folder for seed in (0, 1)]
    for build in builds:
        rewrite(build, GOLDEN, (build / GOLDEN).read_bytes().ljust(100_000))
        for file in [build, *build.rglob("*")]:
            os.utime(file, (0, 0))
    sizes = [{file.name: file.stat().st_size for file in build.iterdir()} for build in builds]
    assert sizes[0] == sizes[1]
    link = root / artifact.NAME / "2"
    link.parent.mkdir(parents=True)
    link.symlink_to(builds[0])
    service = start_service(MNIST_MODEL_DIR=str(root), MNIST_RELOAD_SECONDS="0.1").wait_until_ready()
    assert service.client.get("/model").json()["seed"] == 0

    (root / "other").symlink_to(builds[1])
    (root / "other").replace(link)

    wait_for(lambda: service.client.get("/model").json()["seed"] == 1, service)


@pytest.mark.parametrize("year", [1970, 2100])
def test_a_version_is_served_whatever_the_year_of_its_files(
    registry: Service, root: Path, tmp_path: Path, year: int
) -> None:
    shutil.copytree(root, tmp_path / "elsewhere")
    newer = publish_tiny(tmp_path / "elsewhere", 1).folder
    for file in [newer, *newer.rglob("*")]:
        os.utime(file, ((year - 1970) * 31_557_600,) * 2)

    newer.rename(root / artifact.NAME / "3")

    wait_for_version(registry, 3)


def test_a_version_that_is_copied_slowly_is_served_when_it_is_complete(
    registry: Service, root: Path, tmp_path: Path
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

    wait_for_version(registry, 3)
