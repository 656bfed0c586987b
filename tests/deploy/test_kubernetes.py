"""The manifests in `deploy/kubernetes` follow the clusters' schemas, and agree with the image and the code."""

import importlib
import json
import re
import tomllib
import warnings
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from app.inference import memory_budget
from app.server.server import FINISH_SECONDS
from app.settings import Settings
from app.telemetry.probes import PROBES
from digits.model import artifact
from digits.pictures import decode_limits
from tests.app.conftest import Service
from tests.conftest import REPOSITORY, SHIPPED_VERSION
from tests.deploy import gateway_api
from tests.deploy.manifests import (
    BASIC,
    BUILDS,
    GATEWAY,
    GRPC,
    INGRESS,
    KSERVE,
    KSERVE_VOLUME,
    KUBERNETES,
    ONE_NODE,
    PRODUCTION,
    SERVING,
    VOLUME,
    Object,
    build,
    built,
    every_object,
    one,
    pods,
)

ALERTS = REPOSITORY / "deploy" / "monitoring" / "alerts.yml"
BENCHMARKS = (REPOSITORY / "docs/explanation/benchmarks.md").read_text()
CAPACITY = (REPOSITORY / "docs/explanation/capacity.md").read_text()
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
IMAGE = dict(re.findall(r"\b([A-Z_]+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE))))
"""The environment that the image sets."""

OLDEST = "1.27"
"""The oldest Kubernetes that knows all fields by default: `matchLabelKeys`, `unhealthyPodEvictionPolicy`."""
SPARE_SECONDS = 5
"""Seconds between the longest regular stop and SIGKILL."""


def serving_pods() -> Iterator[Object]:
    """Yield the pods of all builds that serve."""
    for folders in (*SERVING, KSERVE, KSERVE_VOLUME):
        yield from (spec for _, spec in pods(built(*folders)))


def only_container(pod: Object) -> Object:
    (container,) = pod["containers"]
    assert "initContainers" not in pod
    assert isinstance(container, dict)
    return container


def mounted(pod: Object, name: str) -> tuple[Object, Object]:
    """Return a volume of a pod, and its mount in the container."""
    (volume,) = (each for each in pod["volumes"] if each["name"] == name)
    (mount,) = (each for each in only_container(pod)["volumeMounts"] if each["name"] == name)
    return volume, mount


def size(text: str) -> int:
    """Return the bytes of a size such as 512Mi (Kubernetes) or 512m (Docker)."""
    number, unit = re.fullmatch(r"(\d+)([MG]i|[mg])", text).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 2**20, "g": 2**30}[unit[0].lower()]


# The objects follow the clusters' schemas.


@cache
def library(name: str) -> Any:
    """Import a library that emits warnings during its import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


OPERATORS = {
    "monitoring.coreos.com": "cloudcoil.models.prometheus_operator.v1",
    "keda.sh": "cloudcoil.models.keda.v1alpha1",
}
"""The modules with the types of each operator, by API group."""


def check(manifest: Object, version: str = "") -> None:
    """Check an object against the schema of its kind.

    Raises:
        ValueError: a field is unknown, a required field is missing, or a value has the wrong type.
    """
    group = manifest["apiVersion"].partition("/")[0]
    if group in OPERATORS:
        model = getattr(library(OPERATORS[group]), manifest["kind"])
        # Pydantic ignores unknown fields, so compare its output with the input.
        known = model.model_validate(manifest).model_dump(mode="json", by_alias=True, exclude_unset=True)
        if known != manifest:
            raise ValueError(f"expected {json.dumps(known)}, received {json.dumps(manifest)}")
    elif group == "gateway.networking.k8s.io":
        gateway_api.check(manifest)
    elif group == "serving.kserve.io":
        check_fields(manifest, "V1beta1InferenceService", "")
        # KServe's types know its own fields. Check the fields of a pod against the schema of a Deployment.
        predictor = manifest["spec"]["predictor"]
        pod_fields = library("kserve").V1beta1CustomPredictor.attribute_map.values()
        pod = {field: value for field, value in predictor.items() if field in pod_fields}
        deployment = {
            "strategy": predictor.get("deploymentStrategy", {}),
            "selector": {},
            "template": {"metadata": {}, "spec": pod},
        }
        kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
        check({**kind, "metadata": manifest["metadata"], "spec": deployment}, version)
    else:
        try:
            kubernetes_validate.validate(manifest, version or kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as exc:
            raise ValueError(f"{manifest['kind']} {exc.json_path}: {exc.message}") from exc


PRIMITIVES = {"str": str, "int": int, "bool": bool}


def check_fields(value: Any, type_: str, path: str) -> None:
    """Check a value against a type of KServe's generated models. Types of Kubernetes are skipped."""
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
    """Return the longest object of each kind."""
    return {each["kind"]: each for each in sorted(every_object(), key=lambda each: len(json.dumps(each)))}


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_object_is_valid(version: str) -> None:
    for manifest in every_object():
        check(manifest, version)


FieldPath = tuple[str | int, ...]
POD: FieldPath = ("spec", "template", "spec")


def changed(manifest: Object, path: FieldPath, value: Any = None) -> Object:
    """Return a copy with another value in a field. Without a value, the field's name gets one more letter."""
    copy = deepcopy(manifest)
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    if value is None:
        place[f"{path[-1]}s"] = place.pop(path[-1])
    else:
        place[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        pytest.param("Deployment", ("spec",), id="Kubernetes"),
        pytest.param("Deployment", (*POD, "containers", 0, "livenessProbe", "httpGet", "path"), id="Kubernetes, deep"),
        pytest.param("ServiceMonitor", ("spec", "selector"), id="the Prometheus operator"),
        pytest.param("PrometheusRule", ("spec", "groups", 0, "rules", 0, "expr"), id="the operator, deep"),
        pytest.param("ScaledObject", ("spec", "fallback"), id="KEDA"),
        pytest.param("ScaledObject", ("spec", "triggers", 0, "metricType"), id="KEDA, deep"),
        pytest.param("HTTPRoute", ("spec", "rules"), id="the Gateway API"),
        pytest.param("GRPCRoute", ("spec", "rules", 0, "backendRefs", 0, "port"), id="the Gateway API, deep"),
        pytest.param("InferenceService", ("spec", "predictor", "minReplicas"), id="KServe"),
        pytest.param("InferenceService", ("spec", "predictor", "containers", 0, "ports"), id="KServe, deep"),
    ],
)
def test_a_misspelt_field_is_invalid(kind: str, path: FieldPath) -> None:
    with pytest.raises(ValueError, match=str(path[-1])):
        check(changed(kinds()[kind], path))


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        pytest.param("Deployment", ("spec", "strategy"), "RollingUpdate", id="text as strategy"),
        pytest.param("ServiceMonitor", ("spec", "endpoints"), "http", id="text as list of endpoints"),
        pytest.param("PrometheusRule", ("spec", "groups", 0, "rules", 0), {"alert": "A"}, id="rule without expr"),
        pytest.param("ScaledObject", ("spec", "maxReplicaCount"), "many", id="text as KEDA's number of replicas"),
        pytest.param("Gateway", ("spec", "listeners", 0, "port"), "https", id="text as port of a listener"),
        pytest.param("HTTPRoute", ("spec", "parentRefs"), "digits", id="text as list of gateways"),
        pytest.param("InferenceService", ("spec", "predictor", "minReplicas"), "2", id="text as number of replicas"),
        pytest.param(
            "InferenceService", ("spec", "predictor", "terminationGracePeriodSeconds"), "30", id="text as seconds"
        ),
    ],
)
def test_a_wrong_value_is_invalid(kind: str, path: FieldPath, value: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|required|not of type|valid"):
        check(changed(kinds()[kind], path, value))


def test_the_tests_build_every_folder() -> None:
    folders = {path.parent.relative_to(KUBERNETES).as_posix() for path in KUBERNETES.rglob("kustomization.yaml")}

    included = {"availability", "monitoring", "autoscaling/requests", "autoscaling/processor"}
    assert folders == {folder for folders in BUILDS for folder in folders} | included


def test_the_guides_example_kustomization_is_valid() -> None:
    text = (REPOSITORY / "docs" / "how-to" / "kubernetes.md").read_text()
    (example,) = re.findall(r"```yaml\n(apiVersion:.*?)```", text, re.DOTALL)
    kustomization = yaml.safe_load(example)
    for kind in ("resources", "components"):
        kustomization[kind] = [path.removeprefix("digits/deploy/kubernetes/") for path in kustomization.get(kind, ())]

    objects = build(kustomization)

    for manifest in objects:
        check(manifest)
    (pod,) = (spec for _, spec in pods(objects))
    assert only_container(pod)["image"] == "registry.example.org/digits:0.1.0"
    (claim,) = (each for each in objects if each["kind"] == "PersistentVolumeClaim")
    assert claim["spec"]["storageClassName"]
    (gateway,) = (each for each in objects if each["kind"] == "Gateway")
    assert gateway["spec"]["gatewayClassName"] != one("Gateway", *GATEWAY)["spec"]["gatewayClassName"]
    assert [
        name
        for each in objects
        if each["kind"] == "HTTPRoute" and each["metadata"]["name"] == "digits"
        for name in each["spec"]["hostnames"]
    ] == ["digits.example.com"]


# The manifests agree with the image and its settings.


@pytest.mark.parametrize("folders", [*SERVING, KSERVE], ids="+".join)
def test_pods_use_the_port_on_which_the_image_listens(folders: tuple[str, ...]) -> None:
    ((_, pod),) = pods(built(*folders))

    port, *others = only_container(pod)["ports"]
    assert port["containerPort"] == Settings.model_fields["port"].default
    assert port["containerPort"] == int(re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)[0])
    assert port["name"] == ("http1" if folders == KSERVE else "http")
    assert [each["name"] for each in others] == (["grpc"] if "grpc" in folders else [])
    probes = [each for key, each in only_container(pod).items() if key.endswith("Probe")]
    assert {each["httpGet"]["port"] for each in probes if "httpGet" in each} == {port["name"]}


@pytest.mark.parametrize("folders", SERVING, ids="+".join)
def test_the_service_forwards_to_the_ports(folders: tuple[str, ...]) -> None:
    ports = one("Service", *folders)["spec"]["ports"]
    ((_, pod),) = pods(built(*folders))

    assert [port["targetPort"] for port in ports] == [each["name"] for each in only_container(pod)["ports"]]


def test_the_component_grpc_sets_one_port_everywhere() -> None:
    settings = one("ConfigMap", *GRPC)["data"]
    ((_, pod),) = pods(built(*GRPC))
    (_, port) = only_container(pod)["ports"]
    (_, forwarded) = one("Service", *GRPC)["spec"]["ports"]
    (rule,) = one("GRPCRoute", *GRPC)["spec"]["rules"]

    assert int(settings["MNIST_GRPC_PORT"]) == port["containerPort"]
    assert only_container(pod)["readinessProbe"]["grpc"]["port"] == port["containerPort"]
    assert forwarded["appProtocol"] == "kubernetes.io/h2c"
    assert [each["port"] for each in rule["backendRefs"]] == [forwarded["port"]]


@pytest.mark.parametrize("folders", [INGRESS, GATEWAY, GRPC], ids="+".join)
def test_every_way_in_ends_tls_and_leads_to_the_service(folders: tuple[str, ...]) -> None:
    forwarded = one("Service", *folders)
    ports = {port["name"]: port["port"] for port in forwarded["spec"]["ports"]}
    for route in (each["spec"] for each in built(*folders) if each["kind"] in ("HTTPRoute", "GRPCRoute")):
        listeners = {each["name"]: each for each in one("Gateway", *folders)["spec"]["listeners"]}
        (parent,) = route["parentRefs"]
        (rule,) = route["rules"]
        if "backendRefs" in rule:
            assert listeners[parent["sectionName"]]["tls"]["certificateRefs"]
            (backend,) = rule["backendRefs"]
            assert backend["name"] == forwarded["metadata"]["name"]
            assert backend["port"] in ports.values()
        else:
            (only,) = rule["filters"]
            assert only["requestRedirect"]["scheme"] == "https"
    for ingress in (each["spec"] for each in built(*folders) if each["kind"] == "Ingress"):
        assert [each["host"] for each in ingress["rules"]] == [
            name for each in ingress["tls"] for name in each["hosts"]
        ]
        (path,) = ingress["rules"][0]["http"]["paths"]
        assert path["backend"]["service"]["port"]["name"] in ports


def test_http_and_grpc_have_different_host_names() -> None:
    """A listener must not have an HTTPRoute and a GRPCRoute with the same host name."""
    names = [
        name
        for each in built(*GRPC)
        if each["kind"] in ("HTTPRoute", "GRPCRoute")
        for name in each["spec"]["hostnames"]
        if each["metadata"]["name"] == "digits"
    ]

    assert len(set(names)) == len(names) == 2


def test_the_ingress_permits_the_largest_body() -> None:
    for annotation, value in one("Ingress", *INGRESS)["metadata"]["annotations"].items():
        assert size(value) == Settings.model_fields["max_body_bytes"].default, annotation


def test_each_probe_requests_its_own_endpoint(service: Service) -> None:
    for pod in serving_pods():
        container = only_container(pod)
        probes = {key: container[key] for key in container if key.endswith("Probe")}
        paths = {key: probe["httpGet"]["path"] for key, probe in probes.items() if "httpGet" in probe}
        expected = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
        assert paths.items() <= expected.items()
        assert probes.keys() == expected.keys()
        assert all("grpc" in probes[key] for key in expected.keys() - paths.keys())
        assert set(paths.values()) <= set(PROBES)
        assert [service.client.get(path).status_code for path in paths.values()] == [200] * len(paths)


def test_probes_and_the_images_health_check_have_the_same_timing() -> None:
    (line,) = re.findall(r"^HEALTHCHECK (.*)", DOCKERFILE, re.MULTILINE)
    options = {option: int(number) for option, number in re.findall(r"--([a-z-]+)=(\d+)", line)}

    for pod in serving_pods():
        container = only_container(pod)
        liveness = container["livenessProbe"]
        assert liveness["periodSeconds"] == options["interval"]
        for probe in (liveness, container["readinessProbe"]):
            assert (probe["timeoutSeconds"], probe["failureThreshold"]) == (options["timeout"], options["retries"])
        assert container["startupProbe"]["timeoutSeconds"] == options["timeout"]


def settings_of(folders: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a pod, whose environment extends the image's."""
    ((_, pod),) = pods(built(*folders))
    container = only_container(pod)
    environment = {name: value for name, value in IMAGE.items() if name.startswith("MNIST_")}
    for source in container.get("envFrom", ()):
        environment |= one("ConfigMap", *folders, name=source["configMapRef"]["name"])["data"]
    environment |= {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize("folders", [*SERVING, KSERVE], ids="+".join)
def test_a_pod_has_one_worker_and_time_to_drain(folders: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(folders, monkeypatch)
    ((_, pod),) = pods(built(*folders))

    hook = only_container(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    stopping = hook + settings.drain_seconds + FINISH_SECONDS
    assert settings.workers == 1
    assert settings.drain_seconds >= 5
    assert stopping + SPARE_SECONDS <= pod["terminationGracePeriodSeconds"] <= stopping + 2 * SPARE_SECONDS


def test_every_setting_exists() -> None:
    known = {f"MNIST_{field.upper()}" for field in Settings.model_fields} | {"MNIST_DATA"}
    named = {key for each in every_object() if each["kind"] == "ConfigMap" for key in each["data"]}

    for _, pod in pods(every_object()):
        named |= {each["name"] for each in only_container(pod).get("env", ())}

    assert named - known == {"PROTOCOL"}  # KServe reads this one.
    assert named >= {"MNIST_WORKERS", "MNIST_DRAIN_SECONDS", "MNIST_API_KEYS", "MNIST_DATA"}


def test_images_have_the_names_of_the_compose_file_and_the_current_version() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]

    images = {
        folders[0]: only_container(pod)["image"] for folders in BUILDS for _, pod in pods(built(*folders))
    }  # fmt: skip

    assert images.pop("train") == f"{COMPOSE['train']['image']}:{version}"
    assert set(images.values()) == {f"{COMPOSE['api']['image']}:{version}"}


def test_memory_and_processors_fit_the_measurements() -> None:
    (figures,) = re.findall(r"^\| Memory of a server process.*?\|(.*?)\|", BENCHMARKS, re.MULTILINE)
    process = max(int(figure) for figure in re.findall(r"(\d+) MiB", figures)) * 2**20
    bodies_held = memory_budget.BUDGET_BODIES * Settings.model_fields["max_body_bytes"].default
    needed = process + decode_limits.MAX_DECODE_BYTES + bodies_held

    for folders in (*SERVING, KSERVE):
        ((_, pod),) = pods(built(*folders))
        resources = only_container(pod)["resources"]
        assert size(resources["limits"]["memory"]) == size(COMPOSE["api"]["mem_limit"])
        assert int(resources["limits"]["cpu"]) == COMPOSE["api"]["cpus"]
        assert needed * 4 / 3 <= size(resources["limits"]["memory"])
        assert process <= size(resources["requests"]["memory"]) <= size(resources["limits"]["memory"])
        assert resources["requests"]["cpu"] == ("100m" if "overlays/local" in folders[0] else "1")


@pytest.mark.parametrize("folders", [("train",), ("train", "train/from-volume")], ids="+".join)
def test_the_training_job_has_the_resources_of_the_compose_file(folders: tuple[str, ...]) -> None:
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


def test_the_training_job_uses_the_shipped_models_recipe() -> None:
    command, option, recipe = only_container(one("Job", "train")["spec"]["template"]["spec"])["args"]

    assert (command, option) == ("train", "--recipe")
    shipped = artifact.read_manifest(artifact.SHIPPED / artifact.NAME / str(SHIPPED_VERSION)).recipe
    assert shipped is not None
    assert recipe == shipped["name"]


@pytest.mark.parametrize("folders", [("base",), ("overlays/local",), PRODUCTION, BASIC, KSERVE], ids="+".join)
def test_without_the_component_no_volume_is_needed(folders: tuple[str, ...]) -> None:
    ((_, pod),) = pods(built(*folders))

    assert [each["name"] for each in pod["volumes"]] == ["tmp"]
    assert [each for each in built(*folders) if each["kind"] == "PersistentVolumeClaim"] == []


@pytest.mark.parametrize("folders", [VOLUME, ONE_NODE, GRPC, KSERVE_VOLUME], ids="+".join)
def test_the_training_job_writes_to_the_volume_that_the_service_reads(folders: tuple[str, ...]) -> None:
    claim = one("PersistentVolumeClaim", *folders)
    for build_ in (folders, ("train",), ("train", "train/from-volume")):
        ((_, pod),) = pods(built(*build_))
        volume, mount = mounted(pod, "models")
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        assert mount["mountPath"] == IMAGE["MNIST_MODEL_DIR"]
        assert mount.get("readOnly", False) == (build_[0] != "train")
        assert volume["persistentVolumeClaim"].get("readOnly", False) is False
    assert claim["spec"]["accessModes"] == (["ReadWriteOnce"] if folders == ONE_NODE else ["ReadWriteMany"])


def test_the_training_job_can_read_mnist_from_a_claim_without_network() -> None:
    pod = one("Job", "train", "train/from-volume")["spec"]["template"]["spec"]
    volume, mount = mounted(pod, "mnist")
    environment = {each["name"]: each["value"] for each in only_container(pod)["env"]}

    assert volume["persistentVolumeClaim"] == {"claimName": "mnist", "readOnly": True}
    assert mount["readOnly"] is True
    assert Path(environment["MNIST_DATA"]).parent == Path(mount["mountPath"])
    assert one("NetworkPolicy", "train", "train/from-volume")["spec"].get("egress", []) == []


# The objects agree with each other.


@pytest.mark.parametrize("folders", BUILDS, ids="+".join)
def test_selectors_match_only_the_pods_of_their_build(folders: tuple[str, ...]) -> None:
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

    assert selectors or folders[0] == "kserve"
    for selector in selectors:
        assert selector
        assert selector.items() <= labels.items()
        assert [other for other in others if selector.items() <= other.items()] == []


@pytest.mark.parametrize("folders", [PRODUCTION, BASIC], ids="+".join)
def test_the_autoscaler_scales_the_deployment(folders: tuple[str, ...]) -> None:
    deployment = one("Deployment", *folders)
    budget = one("PodDisruptionBudget", *folders)["spec"]
    if folders == PRODUCTION:
        scaler = one("ScaledObject", *folders)["spec"]
        least, most = scaler["minReplicaCount"], scaler["maxReplicaCount"]
        behavior = scaler["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert least <= scaler["fallback"]["replicas"] <= most
    else:
        scaler = one("HorizontalPodAutoscaler", *folders)["spec"]
        least, most, behavior = scaler["minReplicas"], scaler["maxReplicas"], scaler["behavior"]

    target = {key: deployment[key] for key in ("apiVersion", "kind")} | {"name": deployment["metadata"]["name"]}
    assert scaler["scaleTargetRef"] == target
    assert "replicas" not in deployment["spec"]
    assert 3 <= least < most
    assert 0 < budget["maxUnavailable"] < least
    assert "cpu" in only_container(deployment["spec"]["template"]["spec"])["resources"]["requests"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] < behavior["scaleDown"]["stabilizationWindowSeconds"]
    (slowly,) = behavior["scaleDown"]["policies"]
    (_, pod), *_ = pods((deployment,))
    assert (slowly["type"], slowly["value"]) == ("Pods", 1)
    assert slowly["periodSeconds"] > pod["terminationGracePeriodSeconds"]


def test_both_autoscalers_have_one_name_and_the_same_pace() -> None:
    scaled, autoscaler = one("ScaledObject", *PRODUCTION), one("HorizontalPodAutoscaler", *BASIC)
    config = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]

    assert config == {"name": autoscaler["metadata"]["name"], "behavior": autoscaler["spec"]["behavior"]}
    assert scaled["spec"]["minReplicaCount"] == autoscaler["spec"]["minReplicas"]
    assert scaled["spec"]["maxReplicaCount"] == autoscaler["spec"]["maxReplicas"]


def test_keda_asks_for_the_mean_number_of_requests_in_progress() -> None:
    """tests/deploy/test_monitoring.py sends the query to Prometheus."""
    (trigger,) = one("ScaledObject", *PRODUCTION)["spec"]["triggers"]

    assert (trigger["type"], trigger["metricType"]) == ("prometheus", "AverageValue")
    (job,) = re.findall(
        r"^sum\(rate\(digits_request_seconds_sum\{job=\"(\w+)\"\}\[1m\]\)\)$", trigger["metadata"]["query"]
    )
    assert job == one("Service", *PRODUCTION)["metadata"]["labels"]["app.kubernetes.io/name"]


def test_the_targets_of_the_autoscalers_come_from_the_capacity_page() -> None:
    (trigger,) = one("ScaledObject", *PRODUCTION)["spec"]["triggers"]
    threshold = trigger["metadata"]["threshold"]
    comment = (KUBERNETES / "autoscaling/requests/scaled-object.yaml").read_text()
    for body_ in ("JSON", "raw bytes", "PNG"):
        (capacity,) = re.findall(rf"^\| {body_} \| \d+ \| [\d.]+ \| \d+% \| ([\d,]+) \|", CAPACITY, re.MULTILINE)
        (answered,) = re.findall(rf"^\| {body_} \| {threshold} \| ([\d,]+) \|", CAPACITY, re.MULTILINE)
        share = int(answered.replace(",", "")) / int(capacity.replace(",", ""))
        assert re.search(rf"{share * 100:.0f} %[^,]*\s+as\s+{body_}", comment.replace("# ", "")), (body_, share)
    (metric,) = one("HorizontalPodAutoscaler", *BASIC)["spec"]["metrics"]
    (busy_at_a_fifth,) = re.findall(r"^\| JSON \| 20% \|.*?(\d+)% \| \d+% \| [\d.]+ \|$", CAPACITY, re.MULTILINE)
    (busy_at_half,) = re.findall(r"^\| JSON \| 50% \|.*?(\d+)% \| \d+% \| [\d.]+ \|$", CAPACITY, re.MULTILINE)
    assert int(busy_at_a_fifth) < metric["resource"]["target"]["averageUtilization"] < int(busy_at_half)


def test_a_rollout_starts_a_new_pod_before_it_stops_an_old_one() -> None:
    for folders in SERVING:
        strategy = one("Deployment", *folders)["spec"]["strategy"]
        assert (strategy["type"], strategy["rollingUpdate"]["maxUnavailable"]) == ("RollingUpdate", 0)
    rolling = one("InferenceService", "kserve")["spec"]["predictor"]["deploymentStrategy"]["rollingUpdate"]
    assert rolling["maxUnavailable"] == 0


def test_network_policies_admit_named_clients_to_the_services_port_only() -> None:
    for folders in SERVING:
        ((_, pod),) = pods(built(*folders))
        policies = [each for each in built(*folders) if each["kind"] == "NetworkPolicy"]
        assert len(policies) == (2 if folders[0] == "overlays/production" else 1)
        for policy in policies:
            listens = (
                ["http"]
                if policy["metadata"]["name"] == "digits-prometheus"
                else [each["name"] for each in only_container(pod)["ports"]]
            )
            for rule in policy["spec"]["ingress"]:
                assert rule["from"]
                assert [port["port"] for port in rule["ports"]] == listens
        spec = one("NetworkPolicy", *folders, name="digits")["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert spec.get("egress", []) == []


def test_the_training_job_may_reach_only_dns_and_public_https() -> None:
    spec = one("NetworkPolicy", "train")["spec"]

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec.get("ingress", []) == []
    names, mnist = spec["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert [port["port"] for port in mnist["ports"]] == [443]
    assert all("except" in peer["ipBlock"] for peer in mnist["to"])


def test_prometheus_scrapes_the_service_under_the_job_name_of_the_alerts(service: Service) -> None:
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


def test_the_operators_alerts_equal_those_of_the_compose_file() -> None:
    file = KUBERNETES / "monitoring" / "prometheus-rule.yaml"

    _, _, rest = file.read_text().partition("\nspec:\n")

    assert rest == re.sub("^(?=.)", "  ", ALERTS.read_text(), flags=re.MULTILINE), file.read_text().splitlines()[1]
    assert one("PrometheusRule", "overlays/production")["spec"] == yaml.safe_load(ALERTS.read_text())


def test_kserves_pod_equals_the_deployments() -> None:
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
    scaler = one("HorizontalPodAutoscaler", *BASIC)["spec"]
    (metric,) = scaler["metrics"]
    assert (predictor["scaleMetric"], predictor["scaleMetricType"], predictor["scaleTarget"]) == (
        metric["resource"]["name"],
        metric["resource"]["target"]["type"],
        metric["resource"]["target"]["averageUtilization"],
    )
    assert predictor["minReplicas"] < predictor["maxReplicas"] == scaler["maxReplicas"]


# The pods are locked down.


@pytest.mark.parametrize("folders", BUILDS, ids="+".join)
def test_every_container_is_locked_down(folders: tuple[str, ...]) -> None:
    """Pods comply with the Pod Security Standard `restricted`, and have a read-only root file system."""
    (user,) = set(re.findall(r"--uid (\d+)", DOCKERFILE))
    ((_, pod),) = pods(built(*folders))

    assert len(re.findall('"image":', json.dumps(built(*folders)))) == 1  # No other container is hidden in the build.
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
    assert kinds_of_volumes <= {"persistentVolumeClaim", "emptyDir"}
    assert f"USER {user}:{user}\n" in DOCKERFILE


@pytest.mark.parametrize("folders", BUILDS, ids="+".join)
def test_builds_contain_no_secret(folders: tuple[str, ...]) -> None:
    assert [each for each in built(*folders) if each["kind"] == "Secret"] == []
    for each in built(*folders):
        assert "MNIST_API_KEYS" not in each.get("data", {})
    for _, pod in pods(built(*folders)):
        for variable in only_container(pod).get("env", ()):
            if variable["name"] == "MNIST_API_KEYS":
                assert variable.keys() == {"name", "valueFrom"}
                assert variable["valueFrom"]["secretKeyRef"]["optional"] is True


def test_every_image_has_a_version_tag() -> None:
    for _, pod in pods(every_object()):
        _, _, tag = only_container(pod)["image"].rpartition(":")
        assert re.fullmatch(r"\d+\.\d+\.\d+", tag)
