"""`digits predict --ray` writes what this machine's processes write, although nodes of the cluster are lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from digits.model.artifact import SHIPPED
from tests.conftest import REPOSITORY, Mnist, encoded, fresh_python
from tests.deploy.ray.cluster import ENVIRONMENT, PATIENCE_SECONDS, Cluster

PICTURES = 200


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, mnist: Mnist) -> Path:
    """Large pictures, which take some time, one that is broken, and a table."""
    folder = tmp_path_factory.mktemp("sources")
    for number in range(PICTURES):
        drawing = 255 - mnist.pixels[number * 24].repeat(10, axis=0).repeat(10, axis=1)
        (folder / f"{number:03}.png").write_bytes(encoded(drawing))
    (folder / "broken.png").write_bytes(b"not a picture")
    np.savez_compressed(folder / "table.npz", x=mnist.pixels[::50])
    return folder


def command(sources: Path, output: Path, *options: str) -> list[str]:
    return ["-m", "cli", "predict", str(sources), "--output", str(output), "--model-dir", str(SHIPPED), *options]


@pytest.fixture(scope="module")
def expected(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the processes of this machine write."""
    output = tmp_path_factory.mktemp("expected") / "rows.jsonl"
    ran = fresh_python(*command(sources, output), timeout_seconds=PATIENCE_SECONDS)
    assert ran.returncode == 0, ran.stderr
    return output.read_bytes()


def run_and_disturb(
    cluster: Cluster, sources: Path, output: Path, disturb: Callable[[subprocess.Popen[str]], None]
) -> tuple[int, str]:
    """Run the command on the cluster and disturb it after its first rows. Return its exit code and errors."""
    partial = output.with_name(f"{output.name}.partial")
    process = subprocess.Popen(
        [sys.executable, *command(sources, output, "--ray", cluster.address)],
        cwd=REPOSITORY, env={**os.environ, **ENVIRONMENT}, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (partial.exists() and partial.read_bytes().count(b"\n") > 1):  # The first line describes the run.
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    disturb(process)
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, errors


def test_a_run_continues_when_a_node_is_killed(
    cluster: Cluster, sources: Path, expected: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "rows.jsonl"

    code, errors = run_and_disturb(cluster, sources, output, lambda _: cluster.nodes.pop().kill())
    cluster.add_nodes(1)

    assert code == 0, errors
    assert output.read_bytes() == expected
    assert f"{sources / 'broken.png'}: expected a PNG, " in errors


def test_an_interrupted_run_on_a_cluster_resumes_anywhere(
    cluster: Cluster, sources: Path, expected: bytes, tmp_path: Path
) -> None:
    output = tmp_path / "rows.jsonl"

    code, errors = run_and_disturb(cluster, sources, output, lambda process: os.killpg(process.pid, signal.SIGINT))
    kept = (tmp_path / "rows.jsonl.partial").read_bytes().partition(b"\n")[2]
    resumed = fresh_python(*command(sources, output, "--resume"), timeout_seconds=PATIENCE_SECONDS)

    assert code == 130
    assert errors.endswith("pictures. Add --resume to continue\n")
    assert 0 < len(kept) <= len(expected)  # the last rows may be written before the signal arrives
    assert resumed.returncode == 0, resumed.stderr
    assert output.read_bytes() == expected


@pytest.mark.ray
def test_without_an_address_ray_is_started_for_the_run_only(sources: Path, tmp_path: Path) -> None:
    output = tmp_path / "rows.jsonl"

    ran = fresh_python(*command(sources / "table.npz", output, "--ray"), timeout_seconds=PATIENCE_SECONDS)

    assert ran.returncode == 0, ran.stderr
    names = [json.loads(line)["path"] for line in output.read_text().splitlines()]
    assert names == [f"{sources / 'table.npz'}#{row}" for row in range(100)]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        pytest.param("127.0.0.1:1", "expected a Ray cluster at 127.0.0.1:1: ", id="no cluster"),
        pytest.param("", "--ray needs Ray, which the extra `scale` brings", id="no Ray"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_line(address: str, message: str, sources: Path, tmp_path: Path) -> None:
    arguments = command(sources / "table.npz", tmp_path / "rows.csv", f"--ray={address}")
    missing = "" if address else "sys.modules['ray'] = None; "
    program = f"import sys; {missing}sys.argv = {arguments[1:]!r}; from cli.main import main; main()"

    ran = fresh_python("-c", program, timeout_seconds=PATIENCE_SECONDS)

    assert ran.returncode == 2, ran.stderr
    assert ran.stderr.splitlines()[-1].startswith(f"digits: {message}")
    assert ran.stderr.endswith(". Add --resume to continue\n")
    assert "Traceback" not in ran.stderr
