"""`make audit` lists the packages that serving uses, and reports known vulnerabilities of all locked packages."""

import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, needs

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
    for name in ("Makefile", "uv.lock", "pyproject.toml"):
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


def needed_by(name: str) -> set[tuple[str, str]]:
    """Return a locked package and everything that it depends on, as names and versions."""
    needed: set[tuple[str, str]] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        for package in LOCK["package"]:
            if package["name"] == name and (name, package["version"]) not in needed:
                needed.add((name, package["version"]))
                waiting += [dependency["name"] for dependency in package.get("dependencies", [])]
    return needed


def test_without_a_network_it_lists_what_serving_needs_and_reports_in_one_line_that_the_check_failed(
    audit: Audit, folder: Path
) -> None:
    audited = audit(9)  # nothing listens there

    assert audited.returncode != 0
    (line,) = (line for line in audited.stderr.splitlines() if not line.startswith("make"))
    assert line.startswith("digits: could not check for vulnerabilities: ")
    document = json.loads((folder / "reports/sbom.cdx.json").read_bytes())
    listed = {(part["name"], part["version"]) for part in document["components"]}
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "digits")
    assert listed == needed_by("digits") - {("digits", "0.1.0")}
    assert {"fastapi", "onnxruntime", "pillow", "starlette"} < {name for name, _ in listed}
    assert not {"tensorflow", "tensorflow-cpu", "keras", "pytest"} & {name for name, _ in listed}
    files = [file for part in document["components"] for file in part["externalReferences"]]
    assert all(file["hashes"][0]["alg"] == "SHA-256" for file in files)


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
