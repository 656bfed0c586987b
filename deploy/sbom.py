"""Write a CycloneDX document of what an image contains: Python, its packages, and the Debian packages.

    docker run --rm --interactive --entrypoint python digits - < deploy/sbom.py > sbom.cdx.json

It runs inside of the image, so it describes what was built, with its extras and without what the build removed.
"""

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from urllib.parse import quote

_DEBIAN_FIELDS = r"${db:Status-Status}\t${binary:Package}\t${Version}\t${Architecture}\n"


def document() -> dict[str, object]:
    """Return the document. Components are sorted, so that two equal images give equal documents."""
    components = [_python(), *sorted(_python_packages(), key=_purl), *sorted(_debian_packages(), key=_purl)]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "digits", "bom-ref": "digits"}},
        "components": components,
    }


def _python() -> dict[str, str]:
    return _component("application", "python", platform.python_version(), "pkg:generic/python@")


def _python_packages() -> Iterator[dict[str, str]]:
    for package in distributions():
        name = package.metadata["Name"].lower().replace("_", "-")
        yield _component("library", name, package.version, f"pkg:pypi/{name}@")


def _debian_packages() -> Iterator[dict[str, str]]:
    command = ["dpkg-query", "--show", "--showformat", _DEBIAN_FIELDS]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():  # noqa: S603
        status, name, version, architecture = line.split("\t")
        if status == "installed":
            name = name.partition(":")[0]
            component = _component("library", name, version, f"pkg:deb/debian/{name}@")
            yield component | {"purl": f"{component['purl']}?arch={architecture}"}


def _component(kind: str, name: str, version: str, purl: str) -> dict[str, str]:
    return {"type": kind, "name": name, "version": version, "purl": purl + quote(version, safe=".+-~:")}


def _purl(component: dict[str, str]) -> str:
    return component["purl"]


if __name__ == "__main__":
    json.dump(document(), sys.stdout, indent=1)
    print()
