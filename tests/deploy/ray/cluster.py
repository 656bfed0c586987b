"""A Ray cluster of several nodes on this machine, driven as by an operator: `ray start`, `serve deploy` and HTTP."""

import csv
import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from deploy.ray.local import SERVE_ENVIRONMENT, private_environment
from deploy.ray.private_cluster import free_port
from tests.conftest import REPOSITORY, WITHOUT_COVERAGE
from tests.load import SEVEN, HttpClient, Load

PATIENCE_SECONDS = 240
"""Time after which a test is taken to hang."""

OBJECT_STORE_BYTES = 80_000_000

ENVIRONMENT = {
    **SERVE_ENVIRONMENT,
    **private_environment(),
    # Several nodes, each with its own address.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
    # Ray's defaults are longer, and the tests would mostly wait.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_failure_threshold": "2",
    "RAY_metrics_report_interval_ms": "1000",
    # Where the packages are, as in the image.
    "PYTHONPATH": str(REPOSITORY),
}

_STATISTICS_URL = f"http://127.0.0.1:{ENVIRONMENT['RAY_SERVE_HAPROXY_STATS_PORT']}/stats;csv"

_BIN = Path(sys.executable).parent


class Node:
    """A node of the cluster, with all its processes."""

    def __init__(self, log: Path, ip: str, *arguments: str) -> None:
        self.log, self.ip = log, ip
        self.metrics_url = f"http://{ip}:{(port := free_port())}/metrics"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MNIST_", "RAY_"))}
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    *(str(_BIN / "ray"), "start", "--block", f"--node-ip-address={ip}", "--num-cpus=1"),
                    *(f"--object-store-memory={OBJECT_STORE_BYTES}", "--min-worker-port=0", "--max-worker-port=0"),
                    *(f"--metrics-export-port={port}", "--include-log-monitor=False", *arguments),
                ],
                env={**inherited, **ENVIRONMENT, **WITHOUT_COVERAGE},
                cwd=log.parent,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def processes(self) -> list[psutil.Process]:
        """Return the node's process and all its descendants."""
        try:
            node = psutil.Process(self.process.pid)
            return [node, *node.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """Kill all processes, as a power failure would."""
        for process in self.processes():
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.process.wait(timeout=PATIENCE_SECONDS)


def wait_until(condition: Callable[[], Any], description: str) -> Any:
    """Return the first true value of `condition`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s until {description}"
        time.sleep(0.1)
    return value


class Cluster:
    """A head node, and nodes that are added later. Each has room for one replica. The head has the only proxy."""

    def __init__(self, folder: Path) -> None:
        """Start the head. The path of `folder` must be short, because socket paths have at most 107 bytes."""
        self.folder = folder
        self._numbers = itertools.count(3)
        self._gcs_port, dashboard_port, self.port = free_port(), free_port(), free_port()
        self.address = f"127.0.0.2:{self._gcs_port}"
        self.url = f"http://127.0.0.1:{self.port}"
        self._api = httpx.Client(
            base_url=f"http://127.0.0.1:{dashboard_port}",
            headers={"Authorization": f"Bearer {ENVIRONMENT['RAY_AUTH_TOKEN']}"},
            timeout=PATIENCE_SECONDS,
        )
        self._metrics = httpx.Client(timeout=PATIENCE_SECONDS)
        self.nodes = [
            Node(
                folder / "head.log",
                "127.0.0.2",
                *("--head", f"--port={self._gcs_port}", f"--temp-dir={folder}", "--dashboard-host=127.0.0.1"),
                *(f"--dashboard-port={dashboard_port}", f"--dashboard-agent-listen-port={free_port()}"),
            )
        ]
        wait_until(self._answers, "the head answers")

    def _answers(self) -> bool:
        try:
            return self._api.get("/api/serve/applications/").is_success
        except httpx.TransportError:
            assert self.nodes[0].process.poll() is None, (self.folder / "head.log").read_text()
            return False

    def add_nodes(self, number: int) -> None:
        """Start further nodes at the same time and wait until the head knows them.

        Ray gives up on a node that does not start within 30 s, and has no setting for it. On a busy machine there are
        therefore three attempts.
        """
        wanted = len(self.nodes) + number
        for _attempt in range(3):
            for node in itertools.islice(self._numbers, wanted - len(self.nodes)):
                # Nodes that start at the same time would choose the same names for their sockets in one folder.
                options = (f"--address={self.address}", f"--temp-dir={self.folder / str(node)}")
                port = f"--dashboard-agent-listen-port={free_port()}"
                self.nodes.append(Node(self.folder / f"node-{node}.log", f"127.0.0.{node}", *options, port))
            wait_until(
                lambda: {node.ip for node in self.nodes if node.process.poll() is None} <= {*self.alive().values()},
                "the nodes start",
            )
            failed = [node for node in self.nodes if node.process.poll() is not None]
            if not failed:
                return
            self.nodes = [node for node in self.nodes if node not in failed]
        raise AssertionError(failed[-1].log.read_text())

    def lose_a_node_with_a_replica(self) -> None:
        """Kill a node other than the head that holds a replica."""
        alive = self.alive()
        holders = {alive[node] for node in self.replicas().values()}
        lost = next(node for node in self.nodes[1:] if node.ip in holders)
        self.nodes.remove(lost)
        lost.kill()

    def alive(self) -> dict[str, str]:
        """Return the nodes that the head considers alive: the address of each id."""
        nodes = self._api.get("/nodes", params={"view": "summary"}).raise_for_status().json()["data"]["summary"]
        raylets = [node["raylet"] for node in nodes if node["raylet"].get("state") == "ALIVE"]
        return {raylet["nodeId"]: raylet["nodeManagerAddress"] for raylet in raylets}

    def deploy(self, settings: Mapping[str, str], *, by_command: bool = False, **autoscaling: float) -> None:
        """Deploy `deploy/ray/serve.yaml` with this cluster's port and with other settings and autoscaling.

        `by_command` runs `serve deploy`. Otherwise the test sends the same request, which saves the command's imports.
        """
        config = yaml.safe_load((REPOSITORY / "deploy" / "ray" / "serve.yaml").read_text())
        # On one machine only one HAProxy can listen on the port.
        config["proxy_location"] = "HeadOnly"
        config["http_options"]["port"] = self.port
        (application,) = config["applications"]
        application["runtime_env"]["env_vars"] = dict(settings)
        (deployment,) = application["deployments"]
        deployment["autoscaling_config"] |= autoscaling
        # Serve notices a lost replica sooner, and waits longer for a replica on a busy machine.
        deployment |= {"health_check_period_s": 1, "health_check_timeout_s": 30}
        before = self.application().get("last_deployed_time_s", 0)
        if by_command:
            file = self.folder / "serve.yaml"
            file.write_text(yaml.safe_dump(config))
            command = [str(_BIN / "serve"), "deploy", str(file), "--address", str(self._api.base_url)]
            environment = {**os.environ, **ENVIRONMENT}
            deployed = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
            )
            assert deployed.returncode == 0, deployed.stderr
        else:
            self._api.put("/api/serve/applications/", json=config).raise_for_status()
        wait_until(lambda: self.application().get("last_deployed_time_s", 0) > before, "Serve has accepted the file")

    def application(self) -> dict[str, Any]:
        """Return Serve's status, message and deployments of the application."""
        reply: dict[str, Any] = self._api.get("/api/serve/applications/").raise_for_status().json()
        application: dict[str, Any] = reply["applications"].get("digits", {})
        return application

    def replicas(self) -> dict[str, str]:
        """Return the running replicas on nodes that are alive: the node of each id."""
        alive = self.alive()
        replicas = self.application().get("deployments", {}).get("digits", {}).get("replicas", [])
        running = {replica["replica_id"]: replica["node_id"] for replica in replicas if replica["state"] == "RUNNING"}
        return {replica: node for replica, node in running.items() if node in alive}

    def metrics(self) -> str:
        """Return the metrics that Ray's agents on all nodes export for Prometheus."""
        return "\n".join(self._metrics.get(node.metrics_url).text for node in self.nodes)

    def counted(self, name: str) -> float:
        """Return the sum of a metric over all processes of all nodes."""
        return sum(map(float, re.findall(rf"^ray_{name}(?:\{{.*\}})? (\S+)", self.metrics(), re.MULTILINE)))

    def receivers(self) -> set[str]:
        """Return the ids of the replicas to which HAProxy sends requests. The set is empty until HAProxy runs."""
        try:
            statistics = self._metrics.get(_STATISTICS_URL).text
        except httpx.TransportError:
            return set()
        rows = csv.DictReader(statistics.removeprefix("# ").splitlines())
        names = [row["svname"] for row in rows if row["pxname"] == "http-digits" and row["status"].startswith("UP")]
        return {name.rpartition("-")[2] for name in names if name.startswith("SERVE_REPLICA")}

    def wait_until_healthy(self, replicas: int) -> dict[str, str]:
        """Return the running replicas as soon as there are this many, and only they receive requests.

        During a deployment, Serve takes replicas out of HAProxy. Its own proxy then answers and repeats nothing.
        """

        def healthy() -> dict[str, str] | None:
            running = self.replicas()
            steady = len(running) == replicas and self.application()["status"] == "RUNNING"
            return running if steady and self.receivers() == running.keys() else None

        running: dict[str, str] = wait_until(healthy, f"{replicas} replicas run and HAProxy uses them")
        return running

    def load(self, clients: int, body: bytes = SEVEN, upload_seconds: float = 0) -> Load:
        """Return clients of HAProxy, which pause because starting replicas need the cores too."""
        connections = (HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS) for _ in range(clients))
        sending = [HttpClient(each, body, upload_seconds=upload_seconds) for each in connections]
        return Load(sending, pause_seconds=0.05)

    def stop(self) -> None:
        """Kill all nodes."""
        for node in reversed(self.nodes):
            node.kill()
        self._api.close()
        self._metrics.close()
