"""What `kubectl apply -k` would apply: the objects of every build of `deploy/kubernetes`.

    python -m tests.deploy.kubernetes.manifests FOLDER

This writes each build into a file in that folder.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.conftest import REPOSITORY, needs

Object = dict[str, Any]

KUBERNETES = REPOSITORY / "deploy" / "kubernetes"

PRODUCTION = ("overlays/production",)
BASIC = ("overlays/production-basic",)
INGRESS = ("base", "ingress")
GATEWAY = ("base", "gateway")
GRPC = ("overlays/production", "volume", "grpc", "grpc/route")
VOLUME = ("base", "volume")
OPENSHIFT = ("overlays/production", "openshift")
ONE_NODE = ("overlays/local-training",)
KSERVE = ("kserve",)
KSERVE_VOLUME = ("kserve", "volume")
KSERVE_KEYS = ("kserve", "api-keys", "openshift")
SERVING = [("base",), ("overlays/local",), ONE_NODE, VOLUME, PRODUCTION, BASIC, INGRESS, GATEWAY, GRPC, OPENSHIFT]
"""Each build is a folder, followed by the components that are added to it."""
SERVERS = [*SERVING, KSERVE, KSERVE_VOLUME, KSERVE_KEYS]
TRAINING = [("train",), ("train", "train/from-volume"), ("train", "openshift")]
BUILDS = [*SERVERS, *TRAINING]


@cache
def built(folder: str, *components: str) -> tuple[Object, ...]:
    """Return the objects that `kubectl apply -k` would apply."""
    return build({"resources": [folder], "components": list(components)})


def build(kustomization: Mapping[str, Any]) -> tuple[Object, ...]:
    """Return the objects of a kustomization whose paths are relative to `deploy/kubernetes`.

    Raises:
        ValueError: it cannot be built. The message is Kustomize's.
    """
    needs("kustomize")
    with TemporaryDirectory() as name:
        temporary = Path(name).resolve()
        paths = {
            kind: [os.path.relpath(KUBERNETES / folder, temporary) for folder in kustomization.get(kind, ())]
            for kind in ("resources", "components")
        }
        (temporary / "kustomization.yaml").write_text(yaml.safe_dump({**kustomization, **paths}))
        ran = subprocess.run(["kustomize", "build", temporary], capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode or ran.stderr:
        raise ValueError(ran.stderr)
    return tuple(yaml.load_all(ran.stdout, yaml.CSafeLoader))


def every_object() -> list[Object]:
    """Return the objects of all builds, without duplicates."""
    return list({json.dumps(each): each for folders in BUILDS for each in built(*folders)}.values())


def one(kind: str, *folders: str, name: str | None = None) -> Object:
    """Return the only object of a kind, and optionally of a name, in a build."""
    (match,) = (each for each in built(*folders) if each["kind"] == kind and name in (None, each["metadata"]["name"]))
    return match


def pods(objects: Sequence[Object]) -> Iterator[tuple[Object, Object]]:
    """Yield the labels and the specification of each pod template among the objects."""
    for each in objects:
        if each["kind"] == "InferenceService":
            added = {"serving.kserve.io/inferenceservice": each["metadata"]["name"]}
            yield each["metadata"]["labels"] | added, each["spec"]["predictor"]
        elif "template" in each.get("spec", {}):
            yield each["spec"]["template"]["metadata"]["labels"], each["spec"]["template"]["spec"]


def main() -> None:
    """Write each build into a file."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for folders in BUILDS:
        name = "+".join(folders).replace("/", "-")
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(built(*folders)))


if __name__ == "__main__":
    main()
