"""`make audit`: a list of what serving is made of, without a network, and a look at what is known against all of it."""

import json
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, needs

LOCK = tomllib.loads((REPOSITORY / "uv.lock").read_text())
HOLE = "GHSA-xxxx-0000-test"

Audit = Callable[..., subprocess.CompletedProcess[str]]


class Database(BaseHTTPRequestHandler):
    """What osv.dev answers, about packages of which only those in `bad` have a hole."""

    bad: frozenset[str] = frozenset()
    asked: set[tuple[str, str]]

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        asked = [(query["package"]["name"], query["version"]) for query in queries]
        self.asked.update(asked)
        hole = {"id": HOLE, "modified": "2026-01-01T00:00:00Z"}
        self._reply({"results": [{"vulns": [hole]} if name in self.bad else {} for name, _ in asked]})

    def do_GET(self) -> None:
        self._reply({"id": HOLE, "modified": "2026-01-01T00:00:00Z", "summary": "A hole", "affected": []})

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
    """`database("pillow")` listens, and knows of a hole in Pillow; ended with the test."""
    started: list[HTTPServer] = []

    def start(*bad: str) -> HTTPServer:
        handler = type("Handler", (Database,), {"bad": frozenset(bad), "asked": set()})
        started.append(HTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=started[-1].serve_forever).start()
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    """`audit(port)` runs the target in a checkout of its own, with the database at that port."""
    needs("make")
    uv = shutil.which("uv") or shutil.which("uv", path=REPOSITORY / ".uv/bin")
    if uv is None:
        pytest.skip("needs uv, which `make test` installs")
    for name in ("Makefile", "uv.lock", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)

    def run(port: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["make", "audit", f"UV={uv}", f"PYTHON={sys.executable}", f"ARGS=--service-url http://127.0.0.1:{port}/"],
            cwd=tmp_path,
            env=os.environ | {"UV_HTTP_RETRIES": "0", "NO_PROXY": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_without_a_network_the_list_is_written_and_one_line_says_that_nothing_was_checked(
    audit: Audit, tmp_path: Path
) -> None:
    audited = audit(port=9)  # nobody listens there

    assert audited.returncode != 0
    ours = [line for line in audited.stderr.splitlines() if not line.startswith("make")]
    assert len(ours) == 1
    assert ours[0].startswith("digits: not checked for vulnerabilities: ")
    assert (tmp_path / "reports/sbom.cdx.json").exists()


def test_the_list_has_each_package_that_serving_needs_and_none_besides(audit: Audit, tmp_path: Path) -> None:
    audit(port=9)

    document = json.loads((tmp_path / "reports/sbom.cdx.json").read_bytes())
    listed = {(part["name"], part["version"]) for part in document["components"]}
    assert (document["bomFormat"], document["metadata"]["component"]["name"]) == ("CycloneDX", "digits")
    assert listed == needed_by("digits") - {("digits", "0.1.0")}
    assert {"fastapi", "onnxruntime", "pillow", "starlette"} < {name for name, _ in listed}
    assert not {"tensorflow", "tensorflow-cpu", "keras", "pytest"} & {name for name, _ in listed}
    files = [file for part in document["components"] for file in part["externalReferences"]]
    assert all(file["hashes"][0]["alg"] == "SHA-256" for file in files)


def test_without_a_known_hole_it_ends_well_having_asked_about_all_that_is_locked(
    audit: Audit, database: Callable[..., HTTPServer]
) -> None:
    server = database()

    audited = audit(server.server_port)

    assert audited.returncode == 0, audited.stderr
    assert server.RequestHandlerClass.asked == {  # type: ignore[attr-defined]
        (package["name"], package["version"]) for package in LOCK["package"] if package["name"] != "digits"
    }


def test_a_known_hole_is_named_and_fails(audit: Audit, database: Callable[..., HTTPServer]) -> None:
    audited = audit(database("pillow").server_port)

    assert audited.returncode != 0
    assert "pillow" in audited.stdout
    assert HOLE in audited.stdout
    assert "not checked" not in audited.stderr


def needed_by(name: str) -> set[tuple[str, str]]:
    """A locked package, and all that it depends on, with each version of them."""
    found: set[tuple[str, str]] = set()
    waiting = [name]
    while waiting:
        name = waiting.pop()
        for package in LOCK["package"]:
            if package["name"] == name and (name, package["version"]) not in found:
                found.add((name, package["version"]))
                waiting += [dependency["name"] for dependency in package.get("dependencies", [])]
    return found
