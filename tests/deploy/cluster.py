"""A Ray cluster of several nodes on this machine, as an operator has it: by `ray start`, `serve deploy` and HTTP."""

import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from deploy.ray.local import SERVE, of_its_own
from deploy.ray.private_cluster import free_port
from tests.conftest import REPOSITORY

PATIENCE_SECONDS = 90
"""A guard against hanging."""

OBJECT_STORE_BYTES = 80_000_000

ENVIRONMENT = {
    **SERVE,
    **of_its_own(),
    # Several nodes, each with an address of its own.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
    # All of this is by default so slow that a test would mostly wait.
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_health_check_period_ms": "1000",
    "RAY_metrics_report_interval_ms": "1000",
    # Where the packages are, as in the image.
    "PYTHONPATH": str(REPOSITORY),
}

_BIN = Path(sys.executable).parent


class Node:
    """One that was started, with all its processes."""

    def __init__(self, log: Path, ip: str, *arguments: str) -> None:
        self.metrics = f"http://{ip}:{(port := free_port())}/metrics"
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MNIST_", "RAY_"))}
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                [
                    *(str(_BIN / "ray"), "start", "--block", f"--node-ip-address={ip}", "--num-cpus=2"),
                    *(f"--object-store-memory={OBJECT_STORE_BYTES}", "--min-worker-port=0", "--max-worker-port=0"),
                    *(f"--metrics-export-port={port}", *arguments),
                ],
                env={**clean, **ENVIRONMENT},
                cwd=log.parent,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )

    def processes(self) -> list[psutil.Process]:
        """Its own, and all that they started."""
        try:
            node = psutil.Process(self.process.pid)
            return [node, *node.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self) -> None:
        """As if its power was cut: none of its processes does anything any more."""
        for process in self.processes():
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.process.wait(timeout=PATIENCE_SECONDS)


def until(holds: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> Any:
    """What `holds` gives as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (held := holds()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.1)
    return held


class Cluster:
    """A head and as many other nodes as are added, each with cores for two replicas; Serve's proxies share one port."""

    def __init__(self, folder: Path) -> None:
        """The head alone. `folder` has a short path: below it are sockets, whose paths have 107 characters at most."""
        self.folder = folder
        self._numbers = itertools.count(3)
        self.gcs, self.dashboard, self.port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = httpx.Client(
            base_url=f"http://127.0.0.1:{self.dashboard}",
            headers={"Authorization": f"Bearer {ENVIRONMENT['RAY_AUTH_TOKEN']}"},
            timeout=30,
        )
        self.nodes = [
            Node(
                folder / "head.log",
                "127.0.0.2",
                *("--head", f"--port={self.gcs}", f"--temp-dir={folder}", "--dashboard-host=127.0.0.1"),
                *(f"--dashboard-port={self.dashboard}", f"--dashboard-agent-listen-port={free_port()}"),
            )
        ]
        until(self._answers, "the head answers")

    def _answers(self) -> bool:
        try:
            return self.api.get("/api/serve/applications/").is_success
        except httpx.TransportError:
            assert self.nodes[0].process.poll() is None, (self.folder / "head.log").read_text()
            return False

    def add_node(self) -> Node:
        """Another node, which is there when this returns."""
        number = next(self._numbers)
        before = self.alive()
        node = Node(
            self.folder / f"node-{number}.log",
            f"127.0.0.{number}",
            f"--address=127.0.0.2:{self.gcs}",
            f"--dashboard-agent-listen-port={free_port()}",
        )
        self.nodes.append(node)
        until(lambda: self.alive() - before, "the node is there")
        return node

    def alive(self) -> set[str]:
        """The nodes that the head knows to live."""
        nodes = self.api.get("/nodes", params={"view": "summary"}).raise_for_status().json()["data"]["summary"]
        return {node["raylet"]["nodeId"] for node in nodes if node["raylet"].get("state") == "ALIVE"}

    def deploy(self, settings: Mapping[str, str], *, by_command: bool = False, **scaling: float) -> None:
        """Deploy the file that we ship, with this port, these settings and scaling instead of its own.

        By `serve deploy`, or by what that asks the head, without three seconds of imports.
        """
        config = yaml.safe_load((REPOSITORY / "deploy" / "ray" / "serve.yaml").read_text())
        # Each node's HAProxy would want the same port, which on one machine one can have.
        config["proxy_location"] = "HeadOnly"
        config["http_options"] |= {"host": "127.0.0.1", "port": self.port}
        (application,) = config["applications"]
        application["runtime_env"]["env_vars"] = dict(settings)
        (deployment,) = application["deployments"]
        deployment["autoscaling_config"] |= scaling
        before = self.application().get("last_deployed_time_s", 0)
        if by_command:
            file = self.folder / "serve.yaml"
            file.write_text(yaml.safe_dump(config))
            command = [str(_BIN / "serve"), "deploy", str(file), "--address", str(self.api.base_url)]
            deployed = subprocess.run(
                command, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, timeout=60, check=False
            )
            assert deployed.returncode == 0, deployed.stderr
        else:
            self.api.put("/api/serve/applications/", json=config).raise_for_status()
        until(lambda: self.application().get("last_deployed_time_s", 0) > before, "Serve has taken it up")

    def application(self) -> dict[str, Any]:
        """What Serve says of it: status, message, deployments."""
        found: dict[str, Any] = self.api.get("/api/serve/applications/").raise_for_status().json()
        application: dict[str, Any] = found["applications"].get("digits", {})
        return application

    def replicas(self) -> dict[str, str]:
        """Those that run on nodes that live: their ids, and on which."""
        alive = self.alive()
        each = self.application().get("deployments", {}).get("digits", {}).get("replicas", [])
        running = {replica["replica_id"]: replica["node_id"] for replica in each if replica["state"] == "RUNNING"}
        return {replica: node for replica, node in running.items() if node in alive}

    def counted(self, name: str) -> float:
        """A metric's sum over all processes of all nodes, as Prometheus would scrape it."""
        return sum(map(float, re.findall(rf"^ray_{name}(?:\{{.*\}})? (\S+)", self.metrics(), re.MULTILINE)))

    def metrics(self) -> str:
        """What Ray's agents tell Prometheus, on all nodes."""
        return "\n".join(httpx.get(node.metrics).text for node in self.nodes)

    def wait_until_running(self, replicas: int) -> dict[str, str]:
        """The replicas, once there are so many."""
        found: dict[str, str] = until(
            lambda: running if len(running := self.replicas()) == replicas else None, f"{replicas} replicas run"
        )
        return found

    def wait_until_whole(self, replicas: int) -> dict[str, str]:
        """The replicas, once there are so many and Serve says that all is as it should be."""

        def whole() -> dict[str, str] | None:
            running = self.replicas()
            return running if len(running) == replicas and self.application()["status"] == "RUNNING" else None

        found: dict[str, str] = until(whole, f"{replicas} replicas run")
        return found

    def stop(self) -> None:
        """End all of it."""
        for node in reversed(self.nodes):
            node.kill()
        self.api.close()


class Load:
    """Clients that ask again and again, each over its own connection, and ask once more for what was not answered."""

    def __init__(self, port: int, pixels: bytes, clients: int, path: str = "/predict") -> None:
        """So many of them, who do not ask yet."""
        self._path = path
        self._request = (port, pixels)
        self._clients = clients
        self._over = threading.Event()
        self.answered: Counter[str] = Counter()
        """By the version that did."""
        self.failed: list[Counter[str]] = [Counter() for _ in range(clients)]
        """For each client: what it got instead of an answer, and how often."""
        self.unanswered = 0
        """Requests that were not answered when they were sent again either."""
        self.answers: Counter[tuple[int, ...]] = Counter()
        """The digits that came, and how often."""

    def _ask(self, client: int) -> None:
        port, pixels = self._request
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            while not self._over.is_set():
                self._ask_once(client, connection, pixels)
                time.sleep(0.01)  # the cores are also for replicas that start

    def _ask_once(self, client: int, connection: http.client.HTTPConnection, pixels: bytes) -> None:
        for _attempt in range(20):
            try:
                connection.request("POST", self._path, pixels, {"Content-Type": "application/octet-stream"})
                reply = connection.getresponse()
                body = reply.read()
            except (OSError, http.client.HTTPException) as exc:
                connection.close()
                if isinstance(exc, ConnectionRefusedError):  # nothing was accepted
                    time.sleep(0.05)
                    continue
                self.failed[client][type(exc).__name__] += 1
                continue
            if reply.status == 200:
                self.answered[reply.headers["X-Model-Version"]] += 1
                answer = json.loads(body)
                self.answers[tuple(each["digit"] for each in answer.get("predictions", [answer]))] += 1
                return
            self.failed[client][str(reply.status)] += 1
        self.unanswered += 1

    def asked(self) -> int:
        """Requests that were answered so far."""
        return self.answered.total()

    def __str__(self) -> str:
        """What became of the requests, in a line."""
        failed = dict(sum(self.failed, Counter()))
        return f"{self.asked()} answered, {failed or 'none'} failed and sent again, {self.unanswered} never answered"

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the clients ask."""
        with ThreadPoolExecutor(self._clients) as pool:
            asking = [pool.submit(self._ask, client) for client in range(self._clients)]
            try:
                yield
            finally:
                self._over.set()
            for client in asking:
                client.result()
