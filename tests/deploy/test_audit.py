"""`make audit` reports known vulnerabilities of all locked packages, and `deploy.sbom` lists what an image contains."""

import json
import os
import platform
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, fresh_python, needs

LOCK = tomllib.loads((REPOSITORY / "uv.lock").read_text())
VULNERABILITY = {"id": "GHSA-xxxx-0000-test", "modified": "2026-01-01T00:00:00Z"}

Audit = Callable[[int], subprocess.CompletedProcess[str]]


class Database(BaseHTTPRequestHandler):
    """A stand-in for osv.dev."""

    vulnerable: str
    """The package with a known vulnerability."""
    requested: set[tuple[str, str]]
    """Name and version of every package that a client asked about."""

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        packages = [(query["package"]["name"], query["version"]) for query in queries]
        self.requested.update(packages)
        self._reply(
            {"results": [{"vulns": [VULNERABILITY]} if name == self.vulnerable else {} for name, _ in packages]}
        )

    def do_GET(self) -> None:
        self._reply(VULNERABILITY | {"summary": "A vulnerability", "affected": []})

    def _reply(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_arguments: object) -> None:  # noqa: A002 - the base class' name
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the files that `make audit` needs."""
    for name in ("Makefile", "uv.lock", "uv.txt", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    return tmp_path


@pytest.fixture
def audit(folder: Path) -> Audit:
    """`audit(port)` runs `make audit` in the copy, with the database at that port."""
    needs("make")
    uv = shutil.which("uv") or shutil.which("uv", path=REPOSITORY / ".uv/bin")
    if uv is None:
        pytest.skip("needs uv, which `make test` installs")

    def run(port: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "audit", f"UV={uv}", f"PYTHON={sys.executable}", f"ARGS=--service-url http://127.0.0.1:{port}/"],
            cwd=folder,
            env=os.environ | {"UV_HTTP_RETRIES": "0", "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_without_a_network_it_reports_in_one_line_that_the_check_failed(audit: Audit) -> None:
    audited = audit(9)  # nothing listens there

    assert audited.returncode != 0
    (line,) = (line for line in audited.stderr.splitlines() if not line.startswith("make"))
    assert line.startswith("digits: could not check for vulnerabilities: ")


@pytest.mark.parametrize("vulnerable", ["", "pillow"], ids=["no vulnerability", "a vulnerable package"])
def test_it_asks_about_every_locked_package_and_names_and_fails_for_a_known_vulnerability(
    audit: Audit, vulnerable: str
) -> None:
    requested: set[tuple[str, str]] = set()
    handler = type("Handler", (Database,), {"vulnerable": vulnerable, "requested": requested})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        audited = audit(server.server_port)
        server.shutdown()

    locked = {(package["name"], package["version"]) for package in LOCK["package"]}
    assert requested == {(name, version) for name, version in locked if name != "digits"}
    assert (audited.returncode == 0) == (not vulnerable)
    assert "could not check" not in audited.stderr
    if vulnerable:
        assert vulnerable in audited.stdout
        assert str(VULNERABILITY["id"]) in audited.stdout


def test_the_list_of_an_images_contents_has_every_installed_package() -> None:
    needs("dpkg-query")

    document = json.loads(fresh_python("deploy/sbom.py", "uv.lock", "0.2.0", "digits@sha256:12ab").stdout)

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    image = document["metadata"]["component"]
    assert (image["version"], image["hashes"]) == ("0.2.0", [{"alg": "SHA-256", "content": "12ab"}])
    urls = {component["purl"].partition("?")[0] for component in document["components"]}
    pillow, python = version("pillow"), platform.python_version()
    dpkg = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "dpkg"], capture_output=True, text=True, check=True)
    assert {f"pkg:pypi/pillow@{pillow}", f"pkg:generic/python@{python}", f"pkg:deb/debian/dpkg@{dpkg.stdout}"} <= urls
    assert len(urls & {f"pkg:pypi/{name}@{version(name)}" for name in ("onnxruntime", "fastapi", "orjson")}) == 3
    of = {component["purl"].partition("@")[0]: component for component in document["components"]}
    assert of["pkg:pypi/fastapi"]["licenses"] == [{"expression": "MIT"}]
    assert {"license": {"name": "Artistic"}} in of["pkg:deb/debian/perl-base"]["licenses"]
    wheels = next(package["wheels"] for package in LOCK["package"] if package["name"] == "fastapi")
    assert [f"sha256:{each['content']}" for each in of["pkg:pypi/fastapi"]["hashes"]] == [wheels[0]["hash"]]
