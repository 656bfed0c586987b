"""`make audit` lists the packages that serving uses, and reports known vulnerabilities of all locked packages."""

import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, needs

LOCK = tomllib.loads((REPOSITORY / "uv.lock").read_text())
VULNERABILITY = "GHSA-xxxx-0000-test"

Audit = Callable[[int], subprocess.CompletedProcess[str]]


class Database(BaseHTTPRequestHandler):
    """A stand-in for osv.dev. It knows a vulnerability in each package of `vulnerable`."""

    vulnerable: frozenset[str] = frozenset()
    requested: set[tuple[str, str]]
    """Name and version of every package that a client asked about."""

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        packages = [(query["package"]["name"], query["version"]) for query in queries]
        self.requested.update(packages)
        vulnerability = {"id": VULNERABILITY, "modified": "2026-01-01T00:00:00Z"}
        self._reply(
            {"results": [{"vulns": [vulnerability]} if name in self.vulnerable else {} for name, _ in packages]}
        )

    def do_GET(self) -> None:
        self._reply(
            {"id": VULNERABILITY, "modified": "2026-01-01T00:00:00Z", "summary": "A vulnerability", "affected": []}
        )

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
def database() -> Iterator[Callable[..., HTTPServer]]:
    """`database("pillow")` starts a database that knows a vulnerability in Pillow. It stops after the test."""
    started: list[HTTPServer] = []

    def start(*vulnerable: str) -> HTTPServer:
        handler = type("Handler", (Database,), {"vulnerable": frozenset(vulnerable), "requested": set()})
        started.append(HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=started[-1].serve_forever).start()
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that `make audit` needs."""
    copy = tmp_path_factory.mktemp("audit")
    for name in ("Makefile", "uv.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, copy)
    return copy


@pytest.fixture(scope="module")
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


@dataclass(frozen=True, slots=True)
class Offline:
    """What `make audit` gives if the database cannot be reached."""

    process: subprocess.CompletedProcess[str]
    sbom: bytes


@pytest.fixture(scope="module")
def offline(audit: Audit, folder: Path) -> Offline:
    process = audit(9)  # nothing listens there
    return Offline(process, (folder / "reports/sbom.cdx.json").read_bytes())


def test_without_a_network_one_line_reports_that_the_check_failed(offline: Offline) -> None:
    assert offline.process.returncode != 0
    lines = [line for line in offline.process.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1
    assert lines[0].startswith("digits: could not check for vulnerabilities: ")


def test_even_without_a_network_the_list_has_exactly_the_packages_that_serving_needs(offline: Offline) -> None:
    document = json.loads(offline.sbom)
    listed = {(part["name"], part["version"]) for part in document["components"]}
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "digits")
    assert listed == needed_by("digits") - {("digits", "0.1.0")}
    assert {"fastapi", "onnxruntime", "pillow", "starlette"} < {name for name, _ in listed}
    assert not {"tensorflow", "tensorflow-cpu", "keras", "pytest"} & {name for name, _ in listed}
    files = [file for part in document["components"] for file in part["externalReferences"]]
    assert all(file["hashes"][0]["alg"] == "SHA-256" for file in files)


def test_without_a_known_vulnerability_it_succeeds_after_asking_about_every_locked_package(
    audit: Audit, database: Callable[..., HTTPServer]
) -> None:
    server = database()

    audited = audit(server.server_port)

    assert audited.returncode == 0, audited.stderr
    assert server.RequestHandlerClass.requested == {  # type: ignore[attr-defined]
        (package["name"], package["version"]) for package in LOCK["package"] if package["name"] != "digits"
    }


def test_a_known_vulnerability_is_named_and_fails(audit: Audit, database: Callable[..., HTTPServer]) -> None:
    audited = audit(database("pillow").server_port)

    assert audited.returncode != 0
    assert "pillow" in audited.stdout
    assert VULNERABILITY in audited.stdout
    assert "could not check" not in audited.stderr


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
