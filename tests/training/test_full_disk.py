"""A training whose disk is full ends with one line that says so, wherever it writes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import REPOSITORY, WITHOUT_COVERAGE, Mnist
from tests.training.conftest import saved

MOUNT = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && shift 2 && exec "$@"'
"""Mounts a small disk and runs a command. Nobody else sees the disk, which is gone when the command has ended."""


def on_a_small_disk(
    disk: Path, kilobytes: int, *command: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    disk.mkdir()
    return subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-c", MOUNT, "sh", f"{kilobytes}k", disk, *command],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", **WITHOUT_COVERAGE, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module", autouse=True)
def _needs_mounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("needs unshare from util-linux")
    tried = on_a_small_disk(tmp_path_factory.mktemp("try") / "disk", 4, "true")
    if tried.returncode != 0:
        pytest.skip(f"needs the right to mount a small disk: {tried.stderr.strip()}")


STATE = "{disk}/mnist-dense/.training/[0-9a-f]{{16}}: the training state cannot be saved"
NOTHING = "nothing was published below {disk}/mnist-dense: No space left on device"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kilobytes", "place", "message"),
    [
        pytest.param(4, "--output", f"{STATE}: No space left on device", id="the settings of the run"),
        pytest.param(1000, "--output", f"{STATE} or read: No space left on device; .*", id="the state after an epoch"),
        pytest.param(3204, "--output", NOTHING, id="a figure of the report"),
        pytest.param(4000, "--output", NOTHING, id="model.onnx"),
        pytest.param(6000, "--output", NOTHING, id="model.keras"),
        pytest.param(
            *(400, "TMPDIR", r"the network cannot be converted to ONNX: \[Errno 28\] No space left on device"),
            id="temporary files",
        ),
    ],
)
def test_a_training_on_a_full_disk_ends_with_one_line(
    kilobytes: int, place: str, message: str, mnist: Mnist, tmp_path: Path
) -> None:
    x, y = mnist.pixels[::20], mnist.labels[::20].astype(np.uint8)
    few = saved(tmp_path / "few.npz", {"x_train": x, "y_train": y, "x_test": x, "y_test": y})
    disk = tmp_path / "disk"
    output, environment = (disk, {}) if place == "--output" else (tmp_path / "models", {place: str(disk)})
    options = ("--allow-other-data", "--recipe", "lecture", "--epochs", "1", "--validation-split", "0", "--force")
    train = (sys.executable, "-m", "cli", "train", "--data", few, *options, "--output", output)

    ran = on_a_small_disk(disk, kilobytes, *train, **environment)

    assert ran.returncode == 2
    assert re.fullmatch(f"digits: {message.format(disk=disk)}\n", ran.stderr)
