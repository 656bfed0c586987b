"""The wheel contains all that the command needs outside of a checkout."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import Service
from tests.conftest import REPOSITORY, SHIPPED_VERSION, publish_tiny

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`digits` in a new environment with the wheel. Its other packages are those of the tests, without a network."""
    uv = shutil.which("uv") or shutil.which("uv", path=REPOSITORY / ".uv/bin")
    if uv is None:
        pytest.skip("needs uv, which `make test` installs")
    folder = tmp_path_factory.mktemp("installed")
    python = folder / "venv/bin/python"
    subprocess.run([uv, "build", "--quiet", "--offline", "--wheel", "--out-dir", folder, REPOSITORY], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python, wheel], check=True)
    (packages,) = folder.glob("venv/lib/python*/site-packages")
    # Folders in a .pth file come after the environment's own packages, and their .pth files are not read.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return python.with_name("digits")


def output_of(program: Path, *arguments: str, cwd: Path) -> str:
    """Run the command in a folder, without the settings of this process."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MNIST_", "PYTHON"))}
    ran = subprocess.run([program, *arguments], cwd=cwd, env=clean, capture_output=True, text=True, check=True)
    assert ran.stderr == ""
    return ran.stdout


def test_the_wheels_own_model_recognizes_a_picture(program: Path, digit_pictures: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "seven.png").write_bytes(digit_pictures[7])

    assert json.loads(output_of(program, "predict", "--json", "seven.png", cwd=tmp_path))["digit"] == 7


def test_a_model_in_the_working_directory_takes_precedence(program: Path, tmp_path: Path) -> None:
    head, *shipped, in_use = output_of(program, "versions", cwd=tmp_path).splitlines()
    own = publish_tiny(tmp_path / "models").manifest

    folder = f"models/mnist-dense/{own.version}"
    assert output_of(program, "versions", cwd=tmp_path).splitlines() == [
        head,
        f"   {own.version}  {own.created:%Y-%m-%d}   50.00 %  {folder}",
        *shipped,
        f"In use: version {own.version} in {folder}, the newest usable one.",
    ]
    assert f"{program.parents[1]}/lib/" in shipped[0]
    assert in_use == f"In use: version {SHIPPED_VERSION} in {shipped[0].split()[-1]}, the newest usable one."


def test_the_service_answers_and_shows_its_pages(program: Path, tmp_path: Path) -> None:
    (tmp_path / "digits.toml").write_text("max_batch = 1\n")
    command = [str(program), "serve", "--config", "digits.toml"]
    service = Service(tmp_path / "log", {}, command, cwd=tmp_path).wait_until_ready()

    pages = ("/", "/page/lecture.safetensors", "/page/real-digits.png", "/page/real-digits.txt", "/docs",
             "/docs/assets/swagger-ui.css", "/openapi.json", "/model/card")  # fmt: skip
    statuses = {path: service.client.get(path).status_code for path in pages}
    photo = (EXAMPLES / "photo.jpg").read_bytes()
    answer = service.client.post("/predict", files={"file": photo}).json()
    too_many = service.client.post("/predict", files=[("file", photo), ("file", photo)])
    code = service.stop()

    assert set(statuses.values()) == {200}, statuses
    assert answer["digit"] == 4
    assert too_many.status_code == 413
    assert code == 0
    assert "Traceback" not in service.log.read_text()
