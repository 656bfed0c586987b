"""The services that the benchmarks compare, and the command that starts each."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.harness.bodies import DRAWING, GOLDEN, JSON, PICTURES, PNG, RAW, Body, compact_json
from benchmarks.harness.command import progress
from benchmarks.harness.servers import HOST, ROOT, Server, serving
from digits.features import FEATURES, Grey
from digits.model.classifier import GOLDEN_TOLERANCE

PEERS = ROOT / "benchmarks/peers"
LISTENING = {"MNIST_HOST": HOST, "MNIST_PORT": "{port}"}


@dataclass(frozen=True, eq=False)
class Service:
    """One way to serve the model."""

    name: str
    command: tuple[str, ...]
    """`{port}` stands for the port, here and in the environment."""
    bodies: tuple[Body, ...] = (JSON,)
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = ROOT
    ready: str | None = None
    """Path that is answered with 200 once the service is ready. None: the service is ready once it listens."""
    is_constant: bool = False
    """Whether it answers all requests alike, so that its answers cannot be right."""
    fresh: bool = False
    """Whether the service is started for every measurement, because it disturbs the others while it is idle."""

    @contextmanager
    def started(self) -> Iterator[Server]:
        """Run the service until the block is left.

        Raises:
            SystemExit: the service did not start, or its answer to a golden digit is wrong.
        """
        with serving(self.command, self.environment, self.folder, self.ready) as server:
            for body in self.bodies:
                for pixels, expected in zip(GOLDEN.pixels, GOLDEN.probabilities, strict=True):
                    reply = server.post(body.encode(pixels), body.headers, body.path)
                    exact = body not in PICTURES
                    right = reply.status == 200 and (self.is_constant or _is_right(reply.body, expected, exact=exact))
                    if not right:
                        received = f"{reply.status}: {reply.body[:300]!r}"
                        raise SystemExit(f"{self.name}, {body.name}: expected {expected.argmax()}, received {received}")
            yield server


def _is_right(reply: bytes, expected: np.ndarray, *, exact: bool) -> bool:
    answer = json.loads(reply)
    if isinstance(answer, list):
        (answer,) = answer
    if "outputs" in answer:  # Open Inference Protocol
        tensors = {tensor["name"]: tensor["data"] for tensor in answer["outputs"]}
        answer = {"digit": tensors["digit"][0], "probabilities": tensors["probabilities"]}
    difference = np.abs(np.array(answer["probabilities"]) - expected).max()
    return bool(answer["digit"] == expected.argmax() and (difference <= GOLDEN_TOLERANCE or not exact))


def own(
    workers: int = 1, *, folder: Path = ROOT, name: str = "ours", settings: Mapping[str, str] | None = None
) -> Service:
    """Return the service of a checkout as `make serve` starts it, with its access log.

    Args:
        workers: number of worker processes.
        folder: the checkout, by default this one.
        name: the name in the table.
        settings: environment variables.
    """
    environment = {**LISTENING, "MNIST_WORKERS": str(workers), **(settings or {})}
    command = (sys.executable, "-m", "app")
    return Service(name, command, (JSON, RAW, PNG, DRAWING), environment, folder, ready="/readyz")


def service(name: str) -> Service:
    """Return the service of that name. `NAME:N` is a service with N processes.

    This takes minutes if the virtual environment of a peer must be made first.
    """
    kind, _, processes = name.partition(":")
    return _MAKERS[kind](name, int(processes or 1))


def _floor(name: str, _processes: int) -> Service:
    """Return uvicorn with a constant reply: a copy of our reply, headers included."""
    return _constant(name, "benchmarks.peers.floor:app", (JSON, RAW, PNG, DRAWING))


def _decode_floor(name: str, _processes: int) -> Service:
    """Return uvicorn that decodes pictures and sends the same constant reply."""
    return _constant(name, "benchmarks.peers.decode_floor:app", (PNG, *PICTURES))


def _constant(name: str, app: str, bodies: tuple[Body, ...]) -> Service:
    # Braces in the environment stand for the port, unless they are doubled.
    environment = {"FLOOR_REPLY": _copied_reply().replace("{", "{{").replace("}", "}}")}
    return Service(name, _uvicorn(app), bodies, environment, is_constant=True)


@cache
def _copied_reply() -> str:
    """Return the headers and body of our reply to a digit, as JSON."""
    with own().started() as server:
        reply = server.post(JSON.encode(GOLDEN.pixels[0]), JSON.headers)
    headers = [pair for pair in reply.headers if pair[0].lower() != "date"]  # uvicorn adds the date
    return json.dumps({"headers": headers, "body": reply.body.decode()})


def _uvicorn(app: str) -> tuple[str, ...]:
    options = ("--host", HOST, "--port", "{port}", "--loop", "uvloop", "--http", "httptools")
    return (sys.executable, "-m", "uvicorn", app, *options, "--no-access-log", "--no-server-header")


def _template(name: str, _processes: int) -> Service:
    return Service(name, _uvicorn("benchmarks.peers.template:app"))


def _async_template(name: str, _processes: int) -> Service:
    return Service(name, _uvicorn("benchmarks.peers.template:async_app"))


def _keras(name: str, _processes: int) -> Service:
    return Service(name, _uvicorn("benchmarks.peers.keras_way:app"), environment={"TF_CPP_MIN_LOG_LEVEL": "2"})


def _litserve(name: str, _processes: int) -> Service:
    # Fresh, because LitServe polls its queue 1 000 times per second, which takes a tenth of a core while it is idle.
    command = (str(peer_python("litserve")), str(PEERS / "litserve_peer.py"), "{port}")
    return Service(name, command, fresh=True)


def _bentoml(name: str, _processes: int) -> Service:
    python = peer_python("bentoml")
    command = (str(python), "-m", "bentoml", "serve", "benchmarks.peers.bentoml_peer:Digits")
    environment = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(python.parents[1] / "home")}
    # BentoML concatenates lists from several requests into a batch. Each request is therefore a list of one picture.
    as_list = Body(JSON.name, JSON.headers, lambda pixels: compact_json({"pixels": [pixels.tolist()]}))
    # Fresh, because BentoML's batching adapts to earlier waiting times. Ten seconds after a load of 64 clients, one
    # client still waited 10 to 70 ms.
    return Service(name, (*command, "--host", HOST, "--port", "{port}"), (as_list,), environment, fresh=True)


def _triton(name: str, _processes: int) -> Service:
    command = (str(peer_python("triton")), str(PEERS / "triton_peer.py"), "{port}")

    def infer(pixels: Grey) -> bytes:
        tensor = {"name": "pixels", "shape": [1, FEATURES], "datatype": "UINT8", "data": pixels.reshape(-1).tolist()}
        return compact_json({"inputs": [tensor]})

    body = Body(JSON.name, JSON.headers, infer, "/v2/models/digits/infer")
    return Service(name, command, (body,), ready="/v2/health/ready")


def _ray(name: str, processes: int, **settings: str) -> Service:
    # Fresh, because Ray's processes use processor time while they are idle.
    command = (sys.executable, "-m", "benchmarks.peers.ray_replicas", str(processes))
    return Service(name, command, (JSON, RAW), {**LISTENING, **settings}, ready="/readyz", fresh=True)


_MAKERS: Mapping[str, Callable[[str, int], Service]] = {
    "ours": lambda name, processes: own(processes, name=name),
    "floor": _floor,
    "decode-floor": _decode_floor,
    "template": _template,
    "async-template": _async_template,
    "keras": _keras,
    "litserve": _litserve,
    "bentoml": _bentoml,
    "triton": _triton,
    "ray": _ray,
    "ray-python": lambda name, processes: _ray(name, processes, RAY_SERVE_ENABLE_HA_PROXY="0"),
}
NAMES = tuple(_MAKERS)


def peer_python(peer: str) -> Path:
    """Return the Python of a peer's virtual environment. Make the environment if it is missing or outdated.

    Raises:
        SystemExit: the packages could not be installed.
    """
    requirements = PEERS / f"{peer}.txt"
    folder = ROOT / "benchmarks/.peers" / peer
    python, installed = folder / "bin/python", folder / "installed.txt"
    if not installed.exists() or installed.read_text() != requirements.read_text():
        progress(f"making {folder.relative_to(ROOT)}")
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        except subprocess.CalledProcessError as exc:
            raise SystemExit(f"cannot make the environment of {peer}: {exc}. Leave it out with --services.") from None
        installed.write_text(requirements.read_text())
    return python


def peer_version(peer: str) -> str:
    """Return the peer's version in its own environment."""
    package = "nvidia-pytriton" if peer == "triton" else peer
    probe = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([peer_python(peer), "-c", probe], capture_output=True, text=True, check=True).stdout.strip()
