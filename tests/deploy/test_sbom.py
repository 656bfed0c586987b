"""`deploy.sbom` lists what an image contains."""

import json
import platform
import tomllib
from importlib.metadata import version

from app.main import VERSION
from tests.conftest import REPOSITORY, fresh_python, needs


def test_the_list_of_an_images_contents_has_every_installed_package() -> None:
    needs("dpkg-query")
    lock = tomllib.loads((REPOSITORY / "uv.lock").read_text())

    document = json.loads(fresh_python("deploy/sbom.py", "uv.lock", VERSION, "digits@sha256:12ab").stdout)

    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    image = document["metadata"]["component"]
    assert (image["version"], image["hashes"]) == (VERSION, [{"alg": "SHA-256", "content": "12ab"}])
    urls = {component["purl"].partition("?")[0] for component in document["components"]}
    packages = {f"pkg:pypi/{name}@{version(name)}" for name in ("pillow", "onnxruntime", "fastapi", "orjson")}
    assert packages | {f"pkg:generic/python@{platform.python_version()}"} <= urls
    of = {component["purl"].partition("@")[0]: component for component in document["components"]}
    assert of["pkg:pypi/fastapi"]["licenses"] == [{"expression": "MIT"}]
    assert {"license": {"name": "Artistic"}} in of["pkg:deb/debian/perl-base"]["licenses"]
    wheels = next(package["wheels"] for package in lock["package"] if package["name"] == "fastapi")
    assert [f"sha256:{each['content']}" for each in of["pkg:pypi/fastapi"]["hashes"]] == [wheels[0]["hash"]]
