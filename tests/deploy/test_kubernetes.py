"""The manifests of `deploy/kubernetes` are what the clusters' own schemas take, and fit the image and its settings."""

import importlib
import json
import os
import re
import subprocess
import tomllib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from pydantic import ValidationError

from app.input import body
from app.server.server import FINISH_SECONDS
from app.settings import Settings
from app.telemetry.probes import PROBES
from digits import artifact, decode_limits
from tests.app.conftest import Service
from tests.conftest import REPOSITORY, needs

Object = dict[str, Any]

KUBERNETES = REPOSITORY / "deploy" / "kubernetes"
ALERTS = REPOSITORY / "deploy" / "monitoring" / "alerts.yml"
BENCHMARKS = (REPOSITORY / "docs/explanation/benchmarks.md").read_text()
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
IMAGE = dict(re.findall(r"\b([A-Z_]+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE))))
"""The image's environment."""

BUILDS = [
    ("base",),
    ("overlays/local",),
    ("overlays/production",),
    ("train",),
    ("train", "train/from-volume"),
    ("kserve",),
]
"""A folder, and the components that are put upon it."""
SERVING = ["base", "overlays/local", "overlays/production"]

OLDEST = "1.27"
"""Kubernetes whose defaults know all fields: `matchLabelKeys`, `unhealthyPodEvictionPolicy`."""
SPARE_SECONDS = 5
"""Between the longest that stopping takes, and SIGKILL."""


@cache
def built(folder: str, *components: str) -> tuple[Object, ...]:
    """What `kubectl apply` would be given."""
    return build({"resources": [folder], "components": list(components)})


def build(kustomization: Mapping[str, Any]) -> tuple[Object, ...]:
    """The objects of a kustomization whose paths are below `deploy/kubernetes`."""
    needs("kustomize")
    with TemporaryDirectory() as name:
        there = Path(name).resolve()
        paths = {
            kind: [os.path.relpath(KUBERNETES / folder, there) for folder in kustomization.get(kind, ())]
            for kind in ("resources", "components")
        }
        (there / "kustomization.yaml").write_text(yaml.safe_dump({**kustomization, **paths}))
        ran = subprocess.run(["kustomize", "build", there], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return tuple(yaml.safe_load_all(ran.stdout))


def every_object() -> list[Object]:
    """Of all builds, those that are alike once."""
    return list({json.dumps(each): each for folders in BUILDS for each in built(*folders)}.values())


def one(kind: str, *folders: str, name: str | None = None) -> Object:
    """The only object of a kind, or of that name, in a build."""
    (found,) = (each for each in built(*folders) if each["kind"] == kind and name in (None, each["metadata"]["name"]))
    return found


def pods(objects: Sequence[Object]) -> Iterator[tuple[Object, Object]]:
    """Labels and specification of the pods that objects make."""
    for each in objects:
        if each["kind"] == "InferenceService":
            yield each["metadata"]["labels"], each["spec"]["predictor"]
        elif "template" in each.get("spec", {}):
            yield each["spec"]["template"]["metadata"]["labels"], each["spec"]["template"]["spec"]


def serving_pods() -> Iterator[Object]:
    """All but the training's."""
    for folder in (*SERVING, "kserve"):
        yield from (spec for _, spec in pods(built(folder)))


def only_container(pod: Object) -> Object:
    (container,) = pod["containers"]
    assert "initContainers" not in pod
    assert isinstance(container, dict)
    return container


def mounted(pod: Object, name: str) -> tuple[Object, Object]:
    """A volume, and how the container mounts it."""
    (volume,) = (each for each in pod["volumes"] if each["name"] == name)
    (mount,) = (each for each in only_container(pod)["volumeMounts"] if each["name"] == name)
    return volume, mount


def size(text: str) -> int:
    """Bytes, of Kubernetes' 512Mi and of Docker's 512m."""
    number, unit = re.fullmatch(r"(\d+)([MG]i|[mg])", text).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 2**20, "g": 2**30}[unit[0].lower()]


# What the clusters take.


@cache
def library(name: str) -> Any:
    """A module of a library that warns of its own affairs when it is imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def check(object_: Object, version: str = "") -> None:
    """Hold an object to the schema of its kind.

    Raises:
        ValueError: it has a field that the schema has not, lacks one that it wants, or a value of another kind.
    """
    group = object_["apiVersion"].partition("/")[0]
    if group == "monitoring.coreos.com":
        model = getattr(library("cloudcoil.models.prometheus_operator").v1, object_["kind"])
        # Pydantic passes over what it does not know: what comes out is to be what went in.
        known = model.model_validate(object_).model_dump(mode="json", by_alias=True, exclude_unset=True)
        if known != object_:
            raise ValueError(f"expected {json.dumps(known)}, received {json.dumps(object_)}")
    elif group == "serving.kserve.io":
        check_fields(object_, "V1beta1InferenceService", "")
        # KServe's own types know its fields; what they take over from Kubernetes is held to its schema, as KServe does.
        predictor = object_["spec"]["predictor"]
        of_pods = library("kserve").V1beta1CustomPredictor.attribute_map.values()
        pod = {field: value for field, value in predictor.items() if field in of_pods}
        deployment = {
            "strategy": predictor.get("deploymentStrategy", {}),
            "selector": {},
            "template": {"metadata": {}, "spec": pod},
        }
        like = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": object_["metadata"], "spec": deployment}
        check(like, version)
    else:
        try:
            kubernetes_validate.validate(object_, version or kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as exc:
            raise ValueError(f"{object_['kind']} {exc.json_path}: {exc.message}") from exc


PRIMITIVES = {"str": str, "int": int, "bool": bool}


def check_fields(value: Any, type_: str, path: str) -> None:
    """Hold a value to a type of KServe's, as its generated models name it; Kubernetes' own are passed over."""
    if type_ in PRIMITIVES:
        if type(value) is not PRIMITIVES[type_]:
            raise ValueError(f"{path}: expected {type_}, received {value!r}")
    elif model := getattr(library("kserve"), type_, None):
        types = {name: model.openapi_types[field] for field, name in model.attribute_map.items()}
        for name, each in value.items():
            if name not in types:
                raise ValueError(f"{path}.{name}: expected one of {', '.join(types)}")
            check_fields(each, types[name], f"{path}.{name}")


def kinds() -> dict[str, Object]:
    """One object of each kind: of several, the one with most to say."""
    return {each["kind"]: each for each in sorted(every_object(), key=lambda each: len(json.dumps(each)))}


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_the_schemas_take_every_object(version: str) -> None:
    for object_ in every_object():
        check(object_, version)


FREE = {"labels", "matchLabels", "annotations", "data", "selector", "requests", "limits"}
"""Below these a user chooses the names."""


def fields(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths to all fields whose names a schema knows."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield (*path, key)
            if key not in FREE or (key == "selector" and "matchLabels" in each):
                yield from fields(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from fields(each, (*path, index))


def misspelt(object_: Object, path: tuple[str | int, ...]) -> Object:
    """A copy whose field there has one letter more."""
    changed = deepcopy(object_)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[f"{path[-1]}s"] = place.pop(path[-1])
    return changed


@pytest.mark.parametrize(
    "kind",
    [
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "InferenceService",
        "Job",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    ],
)
def test_a_misspelt_field_is_refused_however_deep_it_is(kind: str) -> None:
    object_ = kinds()[kind]
    paths = [path for path in fields(object_) if path[0] not in ("apiVersion", "kind")]

    for path in {min(paths, key=len), max(paths, key=len), next(path for path in reversed(paths) if len(path) > 1)}:
        with pytest.raises(ValueError, match=str(path[-1])):
            check(misspelt(object_, path))


def test_every_kind_is_misspelt_above() -> None:
    (mark,) = test_a_misspelt_field_is_refused_however_deep_it_is.pytestmark  # type: ignore[attr-defined]

    assert set(mark.args[1]) == kinds().keys()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param(("spec", "predictor", "minReplicas"), "2", id="a text as number"),
        pytest.param(("spec", "predictor", "terminationGracePeriodSeconds"), "30", id="a text as seconds of the pod"),
        pytest.param(("spec", "predictor", "containers", 0, "ports", 0, "containerPort"), "http", id="a name as port"),
        pytest.param(("spec", "predictor", "containers", 0, "volumeMounts"), [{"name": "models"}], id="no path"),
    ],
)
def test_a_wrong_value_of_an_inference_service_is_refused(path: tuple[str | int, ...], value: Any) -> None:
    changed = deepcopy(one("InferenceService", "kserve"))
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    with pytest.raises(ValueError, match=r"expected|required|not of type"):
        check(changed)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        pytest.param("ServiceMonitor", "endpoints", "http", id="no list"),
        pytest.param(
            "PrometheusRule", "groups", [{"name": "digits", "rules": [{"alert": "NoExpression"}]}], id="no expr"
        ),
    ],
)
def test_a_wrong_value_for_the_operator_is_refused(kind: str, field: str, value: Any) -> None:
    changed = deepcopy(kinds()[kind])
    changed["spec"][field] = value

    with pytest.raises(ValidationError):
        check(changed)


def test_every_folder_is_built_by_these_tests() -> None:
    folders = {path.parent.relative_to(KUBERNETES).as_posix() for path in KUBERNETES.rglob("kustomization.yaml")}

    assert folders == {folder for folders in BUILDS for folder in folders} | {"volume", "monitoring"}


def test_the_guides_example_kustomization_is_valid() -> None:
    text = (REPOSITORY / "docs" / "how-to" / "kubernetes.md").read_text()
    (example,) = re.findall(r"```yaml\n(apiVersion:.*?)```", text, re.DOTALL)
    kustomization = yaml.safe_load(example)
    for kind in ("resources", "components"):
        kustomization[kind] = [path.removeprefix("digits/deploy/kubernetes/") for path in kustomization.get(kind, ())]

    objects = build(kustomization)

    for object_ in objects:
        check(object_)
    (pod,) = (spec for _, spec in pods(objects))
    assert only_container(pod)["image"] == "registry.example.org/digits:0.1.0"
    (claim,) = (each for each in objects if each["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["storageClassName"]


# What mirrors the image and its settings.


@pytest.mark.parametrize("folder", [*SERVING, "kserve"])
def test_the_port_is_what_the_image_listens_on(folder: str) -> None:
    ((_, pod),) = pods(built(folder))

    (port,) = only_container(pod)["ports"]
    assert port["containerPort"] == Settings.model_fields["port"].default
    assert port["containerPort"] == int(re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)[0])
    assert port["name"] == ("http1" if folder == "kserve" else "http")
    probed = [each["httpGet"]["port"] for key, each in only_container(pod).items() if key.endswith("Probe")]
    assert probed == [port["name"]] * 3


@pytest.mark.parametrize("folder", SERVING)
def test_the_service_leads_to_that_port(folder: str) -> None:
    (port,) = one("Service", folder)["spec"]["ports"]
    ((_, pod),) = pods(built(folder))

    assert [port["targetPort"]] == [each["name"] for each in only_container(pod)["ports"]]


def test_the_probes_ask_what_each_is_for(service: Service) -> None:
    for pod in serving_pods():
        container = only_container(pod)
        asked = {key: container[key]["httpGet"]["path"] for key in container if key.endswith("Probe")}
        assert asked == {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
        assert set(asked.values()) <= set(PROBES)
        assert [service.client.get(path).status_code for path in asked.values()] == [200] * 3


def test_the_probes_are_as_patient_as_the_images_health_check() -> None:
    (line,) = re.findall(r"^HEALTHCHECK (.*)", DOCKERFILE, re.MULTILINE)
    options = {option: int(number) for option, number in re.findall(r"--([a-z-]+)=(\d+)", line)}

    for pod in serving_pods():
        container = only_container(pod)
        liveness = container["livenessProbe"]
        assert liveness["periodSeconds"] == options["interval"]
        for probe in (liveness, container["readinessProbe"]):
            assert (probe["timeoutSeconds"], probe["failureThreshold"]) == (options["timeout"], options["retries"])
        assert container["startupProbe"]["timeoutSeconds"] == options["timeout"]


def settings_of(folder: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What a pod's environment says, in the image's."""
    ((_, pod),) = pods(built(folder))
    container = only_container(pod)
    environment = {name: value for name, value in IMAGE.items() if name.startswith("MNIST_")}
    for source in container.get("envFrom", ()):
        environment |= one("ConfigMap", folder, name=source["configMapRef"]["name"])["data"]
    environment |= {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize("folder", [*SERVING, "kserve"])
def test_a_pod_has_one_worker_and_time_to_drain(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(folder, monkeypatch)
    ((_, pod),) = pods(built(folder))

    hook = only_container(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    stopping = hook + settings.drain_seconds + FINISH_SECONDS
    assert settings.workers == 1
    assert settings.drain_seconds >= 5
    assert stopping + SPARE_SECONDS <= pod["terminationGracePeriodSeconds"] <= stopping + 2 * SPARE_SECONDS


def test_each_setting_is_one_that_there_is() -> None:
    known = {f"MNIST_{field.upper()}" for field in Settings.model_fields} | {"MNIST_DATA"}
    named = {key for each in every_object() if each["kind"] == "ConfigMap" for key in each["data"]}

    for _, pod in pods(every_object()):
        named |= {each["name"] for each in only_container(pod).get("env", ())}

    assert named - known == {"PROTOCOL"}  # KServe's own
    assert named >= {"MNIST_WORKERS", "MNIST_DRAIN_SECONDS", "MNIST_API_KEYS", "MNIST_DATA"}


def test_the_image_and_its_version_are_named_as_everywhere() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]

    images = {
        folders[0]: only_container(pod)["image"] for folders in BUILDS for _, pod in pods(built(*folders))
    }  # fmt: skip

    assert images.pop("train") == f"{COMPOSE['train']['image']}:{version}"
    assert set(images.values()) == {f"{COMPOSE['api']['image']}:{version}"}


def test_memory_and_processors_are_what_was_measured() -> None:
    (figures,) = re.findall(r"^\| Memory of a server process.*?\|(.*?)\|", BENCHMARKS, re.MULTILINE)
    process = max(int(figure) for figure in re.findall(r"(\d+) MiB", figures)) * 2**20
    bodies_held = body.MAX_BODIES_HELD * Settings.model_fields["max_body_bytes"].default
    needed = process + decode_limits.MAX_DECODE_BYTES + bodies_held

    for folder in (*SERVING, "kserve"):
        ((_, pod),) = pods(built(folder))
        resources = only_container(pod)["resources"]
        assert size(resources["limits"]["memory"]) == size(COMPOSE["api"]["mem_limit"])
        assert int(resources["limits"]["cpu"]) == COMPOSE["api"]["cpus"]
        assert needed * 4 / 3 <= size(resources["limits"]["memory"])
        assert process <= size(resources["requests"]["memory"]) <= size(resources["limits"]["memory"])
        assert resources["requests"]["cpu"] == ("100m" if folder == "overlays/local" else "1")


@pytest.mark.parametrize("folders", [("train",), ("train", "train/from-volume")], ids="+".join)
def test_the_training_has_what_the_compose_file_gives_it(folders: tuple[str, ...]) -> None:
    job = one("Job", *folders)["spec"]
    pod = job["template"]["spec"]
    resources = only_container(pod)["resources"]

    assert resources["requests"] == resources["limits"]
    assert size(resources["limits"]["memory"]) == size(COMPOSE["train"]["mem_limit"])
    assert int(resources["limits"]["cpu"]) == COMPOSE["train"]["cpus"]
    (tmpfs,) = COMPOSE["train"]["tmpfs"]
    volume, mount = mounted(pod, "tmp")
    assert size(volume["emptyDir"]["sizeLimit"]) == size(tmpfs.rpartition("=")[2])
    assert tmpfs.startswith(mount["mountPath"] + ":")
    for variable in ("KERAS_HOME", "MPLCONFIGDIR"):
        assert Path(IMAGE[variable]).is_relative_to(mount["mountPath"])
    (minutes,) = re.findall(r"^\| Training, export, assessment: `robust`.*?\| (\d+) minutes", BENCHMARKS, re.MULTILINE)
    assert job["activeDeadlineSeconds"] == 5 * 60 * int(minutes)
    assert job["backoffLimit"] <= 3
    assert job["ttlSecondsAfterFinished"] >= 3600
    assert pod["restartPolicy"] == "Never"


def test_the_trainings_arguments_are_a_command_that_there_is() -> None:
    command, option, recipe = only_container(one("Job", "train")["spec"]["template"]["spec"])["args"]

    assert (command, option) == ("train", "--recipe")
    shipped = artifact.read_manifest(artifact.SHIPPED / artifact.NAME / "1").recipe
    assert shipped is not None
    assert recipe == shipped["name"]


def test_the_training_writes_where_the_service_reads() -> None:
    claims = {each["metadata"]["name"]: each["spec"] for each in built("volume")}

    for folders in BUILDS:
        for _, pod in pods(built(*folders)):
            volume, mount = mounted(pod, "models")
            assert volume["persistentVolumeClaim"]["claimName"] in claims
            assert mount["mountPath"] == IMAGE["MNIST_MODEL_DIR"]
            assert mount.get("readOnly", False) == (folders[0] != "train")
            assert volume["persistentVolumeClaim"].get("readOnly", False) is False
    for folder in ("base", "overlays/production", "kserve"):
        assert one("PersistentVolumeClaim", folder)["spec"]["accessModes"] == ["ReadWriteMany"]
    assert one("PersistentVolumeClaim", "overlays/local")["spec"]["accessModes"] == ["ReadWriteOnce"]


def test_a_trainings_own_data_is_read_from_its_claim() -> None:
    pod = one("Job", "train", "train/from-volume")["spec"]["template"]["spec"]
    volume, mount = mounted(pod, "mnist")
    environment = {each["name"]: each["value"] for each in only_container(pod)["env"]}

    assert volume["persistentVolumeClaim"] == {"claimName": "mnist", "readOnly": True}
    assert mount["readOnly"] is True
    assert Path(environment["MNIST_DATA"]).parent == Path(mount["mountPath"])
    assert one("NetworkPolicy", "train", "train/from-volume")["spec"].get("egress", []) == []


# What belongs together.


@pytest.mark.parametrize("folders", BUILDS, ids="+".join)
def test_selectors_select_these_pods_and_no_others(folders: tuple[str, ...]) -> None:
    ((labels, pod),) = pods(built(*folders))
    others = [each for build_ in BUILDS for each, _ in pods(built(*build_)) if each != labels]
    selectors = [each["labelSelector"]["matchLabels"] for each in pod.get("topologySpreadConstraints", ())]
    for each in built(*folders):
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            selectors.append(spec["selector"])
        elif each["kind"] in ("Deployment", "PodDisruptionBudget"):
            selectors.append(spec["selector"]["matchLabels"])
        elif each["kind"] == "NetworkPolicy":
            selectors.append(spec["podSelector"]["matchLabels"])

    assert selectors or folders == ("kserve",)
    for selector in selectors:
        assert selector
        assert selector.items() <= labels.items()
        assert [other for other in others if selector.items() <= other.items()] == []


def test_the_autoscaler_scales_the_deployment() -> None:
    deployment = one("Deployment", "overlays/production")
    scaler = one("HorizontalPodAutoscaler", "overlays/production")["spec"]
    budget = one("PodDisruptionBudget", "overlays/production")["spec"]

    target = {key: deployment[key] for key in ("apiVersion", "kind")} | {"name": deployment["metadata"]["name"]}
    assert scaler["scaleTargetRef"] == target
    assert "replicas" not in deployment["spec"]
    assert 3 <= scaler["minReplicas"] < scaler["maxReplicas"]
    assert 0 < budget["maxUnavailable"] < scaler["minReplicas"]
    assert "cpu" in only_container(deployment["spec"]["template"]["spec"])["resources"]["requests"]
    up, down = scaler["behavior"]["scaleUp"], scaler["behavior"]["scaleDown"]
    assert up["stabilizationWindowSeconds"] < down["stabilizationWindowSeconds"]
    (slowly,) = down["policies"]
    (_, pod), *_ = pods((deployment,))
    assert (slowly["type"], slowly["value"]) == ("Pods", 1)
    assert slowly["periodSeconds"] > pod["terminationGracePeriodSeconds"]


def test_a_rollout_takes_no_pod_away_before_another_is_ready() -> None:
    for folder in SERVING:
        strategy = one("Deployment", folder)["spec"]["strategy"]
        assert (strategy["type"], strategy["rollingUpdate"]["maxUnavailable"]) == ("RollingUpdate", 0)
    rolling = one("InferenceService", "kserve")["spec"]["predictor"]["deploymentStrategy"]["rollingUpdate"]
    assert rolling["maxUnavailable"] == 0


def test_who_may_speak_to_a_pod_is_told_by_its_port() -> None:
    for folder in SERVING:
        ((_, pod),) = pods(built(folder))
        policies = [each for each in built(folder) if each["kind"] == "NetworkPolicy"]
        assert len(policies) == (2 if folder == "overlays/production" else 1)
        for policy in policies:
            for rule in policy["spec"]["ingress"]:
                assert rule["from"]
                assert [port["port"] for port in rule["ports"]] == [
                    each["name"] for each in only_container(pod)["ports"]
                ]
        spec = one("NetworkPolicy", folder, name="digits")["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert spec.get("egress", []) == []


def test_a_training_may_ask_for_names_and_for_mnist() -> None:
    spec = one("NetworkPolicy", "train")["spec"]

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec.get("ingress", []) == []
    names, mnist = spec["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert [port["port"] for port in mnist["ports"]] == [443]
    assert all("except" in peer["ipBlock"] for peer in mnist["to"])


def test_prometheus_finds_the_service_under_the_name_that_alerts_ask_for(service: Service) -> None:
    monitor = one("ServiceMonitor", "overlays/production")["spec"]
    scraped = one("Service", "overlays/production")
    (endpoint,) = monitor["endpoints"]

    assert monitor["selector"]["matchLabels"].items() <= scraped["metadata"]["labels"].items()
    assert [endpoint["port"]] == [port["name"] for port in scraped["spec"]["ports"]]
    assert service.client.get(endpoint["path"]).text.startswith("# HELP")
    job = scraped["metadata"]["labels"][monitor["jobLabel"]]
    assert set(re.findall(r'job="(\w+)"', ALERTS.read_text())) == {job}
    (prometheus,) = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text())["scrape_configs"]
    assert prometheus["job_name"] == job


def test_the_operators_alerts_are_those_of_the_compose_file() -> None:
    file = KUBERNETES / "monitoring" / "prometheus-rule.yaml"

    _, _, rest = file.read_text().partition("\nspec:\n")

    assert rest == re.sub("^(?=.)", "  ", ALERTS.read_text(), flags=re.MULTILINE), file.read_text().splitlines()[1]
    assert one("PrometheusRule", "overlays/production")["spec"] == yaml.safe_load(ALERTS.read_text())


def test_kserves_container_is_the_deployments() -> None:
    deployment = one("Deployment", "base")["spec"]["template"]["spec"]
    predictor = one("InferenceService", "kserve")["spec"]["predictor"]
    text = json.dumps(only_container(predictor)).replace('"http1"', '"http"').replace('"kserve-container"', '"digits"')

    container = json.loads(text)

    assert only_container(predictor)["name"] == "kserve-container"
    protocol, keys = container.pop("env")
    assert protocol == {"name": "PROTOCOL", "value": "v2"}
    ours = deepcopy(only_container(deployment))
    assert ours.pop("env") == [keys]
    del ours["envFrom"]
    assert container == ours
    same = deployment.keys() - {"containers", "serviceAccountName", "topologySpreadConstraints"}
    assert {key: predictor[key] for key in same} == {key: deployment[key] for key in same}
    scaler = one("HorizontalPodAutoscaler", "overlays/production")["spec"]
    (metric,) = scaler["metrics"]
    assert (predictor["scaleMetric"], predictor["scaleMetricType"], predictor["scaleTarget"]) == (
        metric["resource"]["name"],
        metric["resource"]["target"]["type"],
        metric["resource"]["target"]["averageUtilization"],
    )
    assert predictor["minReplicas"] < predictor["maxReplicas"] == scaler["maxReplicas"]


# What must not be.


@pytest.mark.parametrize("folders", BUILDS, ids="+".join)
def test_every_container_is_locked_down(folders: tuple[str, ...]) -> None:
    """As Kubernetes' `restricted` standard wants it for a namespace, and the root file system read-only besides."""
    (user,) = set(re.findall(r"--uid (\d+)", DOCKERFILE))
    ((_, pod),) = pods(built(*folders))

    assert len(re.findall('"image":', json.dumps(built(*folders)))) == 1  # no other container hides anywhere
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    secured = dict(pod["securityContext"])
    if folders[0] == "train":
        assert secured.pop("fsGroup") == int(user)
        assert secured.pop("fsGroupChangePolicy") == "OnRootMismatch"
    assert secured == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "runAsGroup": int(user),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert only_container(pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    kinds_of_volumes = {key for volume in pod["volumes"] for key in volume if key != "name"}
    assert kinds_of_volumes == {"persistentVolumeClaim", "emptyDir"}
    assert f"USER {user}:{user}\n" in DOCKERFILE


@pytest.mark.parametrize("folders", BUILDS, ids="+".join)
def test_there_is_no_secret_in_it(folders: tuple[str, ...]) -> None:
    assert [each for each in built(*folders) if each["kind"] == "Secret"] == []
    for each in built(*folders):
        assert "MNIST_API_KEYS" not in each.get("data", {})
    for _, pod in pods(built(*folders)):
        for variable in only_container(pod).get("env", ()):
            if variable["name"] == "MNIST_API_KEYS":
                assert variable.keys() == {"name", "valueFrom"}
                assert variable["valueFrom"]["secretKeyRef"]["optional"] is True


def test_no_image_is_the_latest() -> None:
    for _, pod in pods(every_object()):
        _, _, tag = only_container(pod)["image"].rpartition(":")
        assert re.fullmatch(r"\d+\.\d+\.\d+", tag)
