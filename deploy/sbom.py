"""Write a CycloneDX document of what an image contains: Python, its packages, and the Debian packages.

    docker run --rm --interactive --volume $PWD/uv.lock:/lock:ro --entrypoint python digits - /lock < deploy/sbom.py

It runs inside of the image, so it describes what was built, with its extras and without what the build removed.
`make sbom` also passes the image's version and digest.

The hash of a Python package is that of the installed wheel, from the lock. A package whose wheel the lock does not have
gets no hash. Debian packages get none, because dpkg does not keep the hashes of their archives.
"""

import json
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

_DEBIAN_FIELDS = r"${db:Status-Status}\t${binary:Package}\t${Version}\t${Architecture}\n"

Component = dict[str, Any]


def document(lock: Path, version: str = "", digest: str = "") -> dict[str, object]:
    """Return the document. Components are sorted, so that two equal images give equal documents.

    `lock` is uv.lock. `version` and `digest` are those of the image, the digest in hexadecimal, also after `sha256:`.
    """
    image = {"type": "container", "name": "digits", "bom-ref": "digits"}
    image |= {"version": version} if version else {}
    python = _component("application", "python", platform.python_version(), "pkg:generic/python@")
    python["licenses"] = [{"license": {"id": "PSF-2.0"}}]
    python_packages = sorted(_python_packages(tomllib.loads(lock.read_text())), key=itemgetter("purl"))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": image | _hashes(digest.rpartition(":")[2])},
        "components": [python, *python_packages, *sorted(_debian_packages(), key=itemgetter("purl"))],
    }


def _python_packages(lock: dict[str, Any]) -> Iterator[Component]:
    locked = {(package["name"], package.get("version")): package.get("wheels", []) for package in lock["package"]}
    for package in distributions():
        name = re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower()
        component = _component("library", name, package.version, f"pkg:pypi/{name}@")
        yield component | _python_license(package) | _hash_of_wheel(package, locked.get((name, package.version), []))


def _python_license(package: Distribution) -> Component:
    metadata = package.metadata
    if expressions := metadata.get_all("License-Expression", []):
        return {"licenses": [{"expression": expressions[0]}]}
    classifiers = metadata.get_all("Classifier", [])
    names = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    # Some packages have the whole text of the license in this field.
    return _licenses(names or [text.strip().partition("\n")[0] for text in metadata.get_all("License", [])])


def _hash_of_wheel(package: Distribution, wheels: list[dict[str, str]]) -> Component:
    installed = set(re.findall(r"^Tag: (\S+)", package.read_text("WHEEL") or "", re.MULTILINE))
    for wheel in wheels:
        tags = wheel["url"].rpartition("/")[2].removesuffix(".whl").split("-")[-3:]
        if installed & {"-".join(tag) for tag in product(*(part.split(".") for part in tags))}:
            return _hashes(wheel["hash"].removeprefix("sha256:"))
    return {}


def _debian_packages() -> Iterator[Component]:
    command = ["dpkg-query", "--show", "--showformat", _DEBIAN_FIELDS]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():  # noqa: S603
        status, name, version, architecture = line.split("\t")
        if status == "installed":
            name = name.partition(":")[0]
            component = _component("library", name, version, f"pkg:deb/debian/{name}@")
            yield component | {"purl": f"{component['purl']}?arch={architecture}"} | _debian_license(name)


def _debian_license(name: str) -> Component:
    """Return the licenses that the package's copyright file names.

    A file in the form that machines read (DEP 5) has a field for each license. Others refer to Debian's copies of them.
    """
    copyright_file = Path("/usr/share/doc", name, "copyright")
    text = copyright_file.read_text(errors="replace") if copyright_file.exists() else ""
    fields = re.findall(r"^License:[ \t]*(\S.*)$", text, re.MULTILINE)
    return _licenses(fields or re.findall(r"/usr/share/common-licenses/([\w.+-]*\w)", text))


def _licenses(names: list[str]) -> Component:
    given = sorted({name.strip() for name in names} - {""})
    return {"licenses": [{"license": {"name": name}} for name in given]} if given else {}


def _hashes(sha256: str) -> Component:
    return {"hashes": [{"alg": "SHA-256", "content": sha256}]} if sha256 else {}


def _component(kind: str, name: str, version: str, purl: str) -> Component:
    return {"type": kind, "name": name, "version": version, "purl": purl + quote(version, safe=".+-~:")}


if __name__ == "__main__":
    lock_file, *about_image = sys.argv[1:]
    json.dump(document(Path(lock_file), *about_image), sys.stdout, indent=1)
    print()
