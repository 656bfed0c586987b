"""The wheel contains all that the command needs outside of a checkout."""

import json
from pathlib import Path

import pytest

from app.openapi.example_pictures import EXAMPLES
from tests.app.conftest import Service
from tests.cli.conftest import Installed
from tests.conftest import publish_tiny

pytestmark = pytest.mark.slow


def test_the_wheels_own_model_recognizes_a_picture(
    installed: Installed, digit_pictures: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "seven.png").write_bytes(digit_pictures[7])

    ran = installed.run("predict", "--json", "seven.png", cwd=tmp_path)

    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["digit"] == 7


def test_a_model_in_the_working_directory_takes_precedence(installed: Installed, tmp_path: Path) -> None:
    alone = installed.run("versions", cwd=tmp_path)
    own = publish_tiny(tmp_path / "models")

    with_own = installed.run("versions", cwd=tmp_path)

    in_use = "  (in use: newest usable version)"
    shipped, *older = alone.out.splitlines()
    assert f"{installed.environment}/lib/" in shipped
    assert shipped.endswith(in_use)
    first, second, *others = with_own.out.splitlines()
    assert first.endswith(f"{own.folder}{in_use}")
    assert second == shipped.removesuffix(in_use)
    assert others == older


def test_the_service_answers_and_shows_its_pages(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "digits.toml").write_text("workers = 2\nmax_batch = 1\n")  # the workers are processes of their own
    command = [str(installed.program), "serve", "--config", "digits.toml"]
    service = Service(tmp_path / "log", {}, command, cwd=tmp_path).wait_until_ready()

    pages = ("/", "/page/main.js", "/docs", "/docs/assets/swagger-ui.css", "/openapi.json", "/model/card")
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
