"""The manifests in `deploy/kubernetes` follow the clusters' schemas, and agree with the image and the code."""

import importlib
import json
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml

from app.inference import memory_budget
from app.main import VERSION
from app.settings import Settings
from app.start import FINISH_SECONDS
from digits.pictures import decode_limits
from tests.app.conftest import Service
from tests.conftest import REPOSITORY
from tests.deploy.kubernetes.manifests import (
    BASIC,
    BUILDS,
    GRPC,
    INGRESS,
    KUBERNETES,
    PRODUCTION,
    SERVERS,
    TRAINING,
    Object,
    build,
    built,
    every_object,
    one,
    pods,
)

ALERTS = REPOSITORY / "deploy" / "monitoring" / "alerts.yml"
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
IMAGE = dict(re.findall(r"\b([A-Z_]+)=(\S+)", " ".join(re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE))))
"""The environment that the image sets."""

REQUIRE_KEYS = [folders for folders in SERVERS if "overlays/production" in folders[0] or "api-keys" in folders]

OLDEST = "1.27"
"""The oldest Kubernetes that knows all fields by default: `matchLabelKeys`, `unhealthyPodEvictionPolicy`."""
SPARE_SECONDS = 5
"""Seconds between the longest regular stop and SIGKILL."""
PROCESS_BYTES = 125 * 2**20
"""Memory of a server process (docs/explanation/benchmarks.md)."""


def only_pod(folders: tuple[str, ...]) -> Object:
    ((_, pod),) = pods(built(*folders))
    return pod


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
    elif group == "serving.kserve.io":
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
    elif group != "gateway.networking.k8s.io":  # no package has its schemas; a test below reads its fields
        try:
            kubernetes_validate.validate(manifest, version or kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as exc:
            raise ValueError(f"{manifest['kind']} {exc.json_path}: {exc.message}") from exc


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
def test_every_object_is_valid(version: str) -> None:
    for manifest in every_object():
        check(manifest, version)


def test_the_tests_build_every_folder() -> None:
    folders = {path.parent.relative_to(KUBERNETES).as_posix() for path in KUBERNETES.rglob("kustomization.yaml")}

    included = {
        "availability",
        "monitoring",
        *(f"autoscaling/{name}" for name in ("requests", "processor", "only-one")),
    }
    assert folders == {folder for folders in BUILDS for folder in folders} | included


def test_the_guides_example_kustomization_is_valid() -> None:
    guide = (REPOSITORY / "docs" / "how-to" / "kubernetes.md").read_text()
    (example,) = re.findall(r"```yaml\n(apiVersion:.*?)```", guide, re.DOTALL)
    (staging,) = re.findall(r"```yaml\n(labels:.*?)```", guide, re.DOTALL)
    (hard_zones,) = re.findall(r"```yaml\n(  - target: {kind: Deployment.*?)```", guide, re.DOTALL)
    kustomization = yaml.safe_load(example.replace("digits/deploy/kubernetes/", ""))
    more = yaml.safe_load(staging)
    patches = [*kustomization["patches"], *more["patches"], *yaml.safe_load(hard_zones)]

    objects = build({**kustomization, **more, "patches": patches})

    for manifest in objects:
        check(manifest)
    ((_, pod),) = pods(objects)
    specs = {(each["kind"], each["metadata"]["name"]): each.get("spec", {}) for each in objects}
    assert only_container(pod)["image"] == f"registry.example.org/digits:{VERSION}"
    assert 'environment="staging"' in specs["ScaledObject", "digits"]["triggers"][0]["metadata"]["query"]
    (labels,) = (each["metadata"]["labels"] for each in objects if each["kind"] == "Service")
    assert labels["environment"] == "staging"
    assert pod["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"
    assert specs["PersistentVolumeClaim", "digits-models"]["storageClassName"] == "nfs"
    assert specs["Gateway", "digits"]["gatewayClassName"] == "envoy"
    assert specs["HTTPRoute", "digits"]["hostnames"] == ["digits.example.com"]


# The manifests agree with the image and its settings.


@pytest.mark.parametrize("folders", SERVERS, ids="+".join)
def test_pods_use_the_ports_on_which_the_image_listens(folders: tuple[str, ...]) -> None:
    container = only_container(only_pod(folders))

    port, *others = container["ports"]
    assert port["name"] == ("http1" if folders[0] == "kserve" else "http")
    assert port["containerPort"] == Settings.model_fields["port"].default
    assert f"\nEXPOSE {port['containerPort']}\n" in DOCKERFILE
    assert [each["name"] for each in others] == (["grpc"] if "grpc" in folders else [])
    if folders[0] != "kserve":
        forwarded = one("Service", *folders)["spec"]["ports"]
        assert [each["targetPort"] for each in forwarded] == [each["name"] for each in container["ports"]]


def test_the_component_grpc_sets_one_port_everywhere() -> None:
    container = only_container(only_pod(GRPC))
    (_, forwarded) = one("Service", *GRPC)["spec"]["ports"]
    (rule,) = one("GRPCRoute", *GRPC)["spec"]["rules"]

    port = int(one("ConfigMap", *GRPC)["data"]["MNIST_GRPC_PORT"])

    assert container["ports"][1]["containerPort"] == port
    assert container["readinessProbe"]["grpc"]["port"] == port
    assert forwarded["appProtocol"] == "kubernetes.io/h2c"
    assert [each["port"] for each in rule["backendRefs"]] == [forwarded["port"]]


def test_the_ingress_ends_tls_leads_to_the_service_and_permits_the_largest_body() -> None:
    ingress = one("Ingress", *INGRESS)
    (rule,), (tls,) = ingress["spec"]["rules"], ingress["spec"]["tls"]
    (path,) = rule["http"]["paths"]
    service = one("Service", *INGRESS)

    assert tls["hosts"] == [rule["host"]]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert path["backend"]["service"]["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]
    limits = {size(value) for value in ingress["metadata"]["annotations"].values()}
    assert limits == {Settings.model_fields["max_body_bytes"].default}


def test_each_probe_requests_its_own_endpoint_with_the_timing_of_the_images_health_check(service: Service) -> None:
    (line,) = re.findall(r"^HEALTHCHECK (.*)", DOCKERFILE, re.MULTILINE)
    options = {option: int(number) for option, number in re.findall(r"--([a-z-]+)=(\d+)", line)}
    paths = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}

    for folders in SERVERS:
        container = only_container(only_pod(folders))
        assert {key for key in container if key.endswith("Probe")} == paths.keys()
        for key, path in paths.items():
            probe = container[key]
            assert probe["timeoutSeconds"] == options["timeout"]
            if key != "startupProbe":
                assert probe["failureThreshold"] == options["retries"]
            if "grpc" in folders and key == "readinessProbe":
                assert "httpGet" not in probe
            else:
                assert probe["httpGet"] == {"path": path, "port": container["ports"][0]["name"]}
        assert container["livenessProbe"]["periodSeconds"] == options["interval"]
    assert [service.client.get(path).status_code for path in paths.values()] == [200] * 3


def settings_of(folders: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of a pod, whose environment extends the image's."""
    container = only_container(only_pod(folders))
    environment = {name: value for name, value in IMAGE.items() if name.startswith("MNIST_")}
    for source in container.get("envFrom", ()):
        environment |= one("ConfigMap", *folders, name=source["configMapRef"]["name"])["data"]
    environment |= {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize("folders", SERVERS, ids="+".join)
def test_a_pod_has_time_to_drain(folders: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(folders, monkeypatch)
    pod = only_pod(folders)

    hook = only_container(pod).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    stopping = hook + settings.drain_seconds + FINISH_SECONDS
    assert settings.drain_seconds >= 5
    assert stopping + SPARE_SECONDS <= pod["terminationGracePeriodSeconds"] <= stopping + 2 * SPARE_SECONDS


def test_every_setting_exists() -> None:
    known = {f"MNIST_{field.upper()}" for field in Settings.model_fields} | {"MNIST_DATA"}
    named = {key for each in every_object() if each["kind"] == "ConfigMap" for key in each["data"]}

    for _, pod in pods(every_object()):
        named |= {each["name"] for each in only_container(pod).get("env", ())}

    assert named - known == {"PROTOCOL"}  # which KServe reads
    assert named >= {"MNIST_DRAIN_SECONDS", "MNIST_API_KEYS_FILE", "MNIST_DATA"}


def test_images_have_the_names_of_the_compose_file_and_the_current_version() -> None:
    for folders in BUILDS:
        service = "train" if folders in TRAINING else "api"
        assert only_container(only_pod(folders))["image"] == f"{COMPOSE[service]['image']}:{VERSION}"


def test_memory_and_processors_suffice_and_equal_the_compose_files() -> None:
    held = memory_budget.MemoryBudget(Settings.model_fields["max_body_bytes"].default).max_bytes
    needed = PROCESS_BYTES + decode_limits.MAX_DECODE_BYTES + held

    for folders in SERVERS:
        resources = only_container(only_pod(folders))["resources"]
        assert size(resources["limits"]["memory"]) == size(COMPOSE["api"]["mem_limit"])
        assert int(resources["limits"]["cpu"]) == COMPOSE["api"]["cpus"]
        assert needed * 4 / 3 <= size(resources["limits"]["memory"])
        assert PROCESS_BYTES <= size(resources["requests"]["memory"]) <= size(resources["limits"]["memory"])
        assert resources["requests"]["cpu"] == ("100m" if "overlays/local" in folders[0] else "1")
        volume, _ = mounted(only_pod(folders), "tmp")
        most, disk = (size(resources[key]["ephemeral-storage"]) for key in ("limits", "requests"))
        assert size(volume["emptyDir"]["sizeLimit"]) < disk < most


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


def test_both_autoscalers_scale_the_deployment_down_slower_than_a_pod_drains() -> None:
    scaler, keda = one("HorizontalPodAutoscaler", *BASIC), one("ScaledObject", *PRODUCTION)["spec"]
    spec = scaler["spec"]
    least, most = spec["minReplicas"], spec["maxReplicas"]
    up, down = spec["behavior"]["scaleUp"], spec["behavior"]["scaleDown"]
    (slowly,) = down["policies"]

    assert 3 <= least < most
    assert up["stabilizationWindowSeconds"] < down["stabilizationWindowSeconds"]
    assert (slowly["type"], slowly["value"]) == ("Pods", 1)
    # KEDA makes a HorizontalPodAutoscaler too. It has the same name, limits and pace.
    of_keda = {"name": scaler["metadata"]["name"], "behavior": spec["behavior"]}
    assert keda["advanced"]["horizontalPodAutoscalerConfig"] == of_keda
    assert (keda["minReplicaCount"], keda["maxReplicaCount"]) == (least, most)
    assert [trigger["metricType"] for trigger in keda["triggers"]] == ["AverageValue"]
    assert least <= keda["fallback"]["replicas"] <= most
    for folders in (BASIC, PRODUCTION):
        deployment, pod = one("Deployment", *folders), only_pod(folders)
        target = {key: deployment[key] for key in ("apiVersion", "kind")} | {"name": deployment["metadata"]["name"]}
        assert spec["scaleTargetRef"] == keda["scaleTargetRef"] == target
        assert "replicas" not in deployment["spec"]
        assert 0 < one("PodDisruptionBudget", *folders)["spec"]["maxUnavailable"] < least
        assert "cpu" in only_container(pod)["resources"]["requests"]
        assert slowly["periodSeconds"] > pod["terminationGracePeriodSeconds"]


def test_network_policies_admit_named_clients_to_the_services_port_only() -> None:
    for folders in SERVERS:
        ports = [each["name"] for each in only_container(only_pod(folders))["ports"]]
        policies = {
            each["metadata"]["name"]: each["spec"] for each in built(*folders) if each["kind"] == "NetworkPolicy"
        }
        expected = {"digits": ports} | ({"digits-prometheus": ["http"]} if folders[0] == "overlays/production" else {})
        assert policies.keys() == expected.keys()
        for name, spec in policies.items():
            for rule in spec["ingress"]:
                assert rule["from"]
                assert [port["port"] for port in rule["ports"]] == expected[name]
        assert policies["digits"]["policyTypes"] == ["Ingress", "Egress"]
        assert policies["digits"].get("egress", []) == []


def test_prometheus_scrapes_the_service_as_the_compose_files_alerts_expect(service: Service) -> None:
    monitor = one("ServiceMonitor", *PRODUCTION)["spec"]
    scraped = one("Service", *PRODUCTION)
    (endpoint,) = monitor["endpoints"]

    assert monitor["targetLabels"] == ["environment"]
    assert endpoint["authorization"]["credentials"] == {"name": "digits-api-keys", "key": "prometheus"}
    assert monitor["selector"]["matchLabels"].items() <= scraped["metadata"]["labels"].items()
    assert [endpoint["port"]] == [port["name"] for port in scraped["spec"]["ports"]]
    assert service.client.get(endpoint["path"]).text.startswith("# HELP")
    job = scraped["metadata"]["labels"][monitor["jobLabel"]]
    assert set(re.findall(r'job="(\w+)"', ALERTS.read_text())) == {job}
    (prometheus,) = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text())["scrape_configs"]
    assert prometheus["job_name"] == job
    assert one("PrometheusRule", *PRODUCTION)["spec"] == yaml.safe_load(ALERTS.read_text())


# The pods are locked down.


@pytest.mark.parametrize("folders", BUILDS, ids="+".join)
def test_every_container_is_locked_down(folders: tuple[str, ...]) -> None:
    """Pods comply with the Pod Security Standard `restricted`, and have a read-only root file system."""
    (user,) = set(re.findall(r"--uid (\d+)", DOCKERFILE))
    pod = only_pod(folders)

    assert json.dumps(built(*folders)).count('"image":') == 1  # No other container is hidden in the build.
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    expected = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if folders in TRAINING:
        expected["fsGroupChangePolicy"] = "OnRootMismatch"
    if "openshift" not in folders:  # which chooses the ids
        expected |= dict.fromkeys(("runAsUser", "runAsGroup", *(["fsGroup"] if folders in TRAINING else [])), int(user))
    assert pod["securityContext"] == expected
    assert only_container(pod)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    kinds_of_volumes = {key for volume in pod["volumes"] for key in volume if key != "name"}
    assert kinds_of_volumes <= {"persistentVolumeClaim", "emptyDir", "secret"}
    assert f"USER {user}:{user}\n" in DOCKERFILE


@pytest.mark.parametrize("folders", SERVERS, ids="+".join)
def test_production_refuses_to_start_without_keys_and_offers_no_docs(
    folders: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(folders, monkeypatch)

    assert settings.require_keys == (folders in REQUIRE_KEYS)
    assert settings.docs == ("overlays/production" not in folders[0])
    if settings.require_keys:
        volume, mount = mounted(only_pod(folders), "api-keys")
        assert volume["secret"] == {"secretName": "digits-api-keys", "items": [{"key": "keys", "path": "keys"}]}
        assert settings.api_keys_file == Path(mount["mountPath"]) / "keys"
    assert [each for each in built(*folders) if each["kind"] == "Secret"] == []
