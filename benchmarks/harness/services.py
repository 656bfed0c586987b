"""Who is measured under load: how each service is started, and what it is sent."""

import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.harness.servers import HOST, PREDICT, ROOT, Server, serving
from digits.classifier import GOLDEN_TOLERANCE, Golden
from digits.features import Grey

PEERS = ROOT / "benchmarks/peers"
MODEL = ROOT / "models/mnist-dense/1"
"""The version that every one of them serves."""
GOLDEN = Golden.from_json((MODEL / "golden.json").read_bytes())
"""The ten digits that are sent, and what must be answered."""


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """One way to send a picture."""

    name: str
    headers: Mapping[str, str]
    encode: Callable[[Grey], bytes]
    path: str = PREDICT


def _json(pixels: Sequence[object]) -> bytes:
    # As compact as browsers and httpx write it.
    return json.dumps({"pixels": pixels}, separators=(",", ":")).encode()


def png(pixels: Grey) -> bytes:
    """A picture as a file."""
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "png")
    return encoded.getvalue()


JSON = Body("JSON", {"Content-Type": "application/json"}, lambda pixels: _json(pixels.ravel().tolist()))
# BentoML joins requests that are lists to a batch: each is sent as a list of one picture.
JSON_LIST = Body("JSON", {"Content-Type": "application/json"}, lambda pixels: _json([pixels.ravel().tolist()]))
RAW = Body("raw bytes", {"Content-Type": "application/octet-stream"}, lambda pixels: pixels.tobytes())
PNG = Body("PNG", {"Content-Type": "image/png"}, png)


@dataclass(frozen=True, eq=False)
class Contender:
    """One service."""

    name: str
    command: tuple[str, ...]
    """`{port}` stands for the port to listen on, here and in the environment."""
    bodies: tuple[Body, ...] = (JSON,)
    environment: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    fresh: bool = False
    """Whether it is started anew for every measurement, and not left idle meanwhile."""
    ready: str | None = None
    """The path that is answered with 200 once it can be asked; None where that is when it listens."""

    @contextmanager
    def started(self) -> Iterator[Server]:
        """The service, running and proven to answer right, until the block is left.

        Raises:
            SystemExit: it did not start, or answered wrongly.
        """
        with serving(self.command, self.environment) as server:
            if self.ready is not None:
                server.wait_for(self.ready)
            for body in self.bodies:
                self._check(server, body)
            yield server

    def _check(self, server: Server, body: Body) -> None:
        for pixels, expected in zip(GOLDEN.pixels, GOLDEN.probabilities, strict=True):
            status, reply = server.ask(body.encode(pixels), body.headers, body.path)
            if status != 200:
                raise SystemExit(f"{self.name}, {body.name}: expected 200, received {status}: {reply[:300]!r}")
            if self.name == "floor":
                continue
            answer = json.loads(reply)
            if isinstance(answer, list):
                (answer,) = answer
            difference = np.abs(np.array(answer["probabilities"]) - expected).max()
            if answer["digit"] != expected.argmax() or not difference <= GOLDEN_TOLERANCE:
                raise SystemExit(f"{self.name}, {body.name}: expected the digit {expected.argmax()}, received {answer}")


def contenders(names: Sequence[str]) -> list[Contender]:
    """The ones with these names, in the order of the table; a peer's environment is made where there is none."""
    return [contender for name, make in _MAKERS.items() if name in names for contender in make()]


def _uvicorn(app: str) -> tuple[str, ...]:
    options = ("--host", HOST, "--port", "{port}", "--loop", "uvloop", "--http", "httptools", "--no-access-log")
    return (sys.executable, "-m", "uvicorn", app, *options)


def _ours() -> list[Contender]:
    """As `make serve` starts it, with its access log."""
    return [
        Contender(
            "ours",
            (sys.executable, "-m", "app"),
            (JSON, RAW, PNG),
            {"MNIST_HOST": HOST, "MNIST_PORT": "{port}", "MNIST_WORKERS": str(workers)},
            workers,
        )
        for workers in (1, 2)
    ]


def _floor() -> list[Contender]:
    return [Contender("floor", _uvicorn("benchmarks.peers.floor:app"), (JSON, RAW, PNG))]


def _template() -> list[Contender]:
    return [
        Contender("template", _uvicorn("benchmarks.peers.template:app")),
        Contender("async template", _uvicorn("benchmarks.peers.template:async_app")),
    ]


def _keras() -> list[Contender]:
    if importlib.util.find_spec("tensorflow") is None:
        print("load: keras is left out, TensorFlow is not installed", file=sys.stderr)
        return []
    return [Contender("keras", _uvicorn("benchmarks.peers.keras_way:app"), environment={"TF_CPP_MIN_LOG_LEVEL": "2"})]


def _litserve() -> list[Contender]:
    python = own_environment("litserve")
    # Fresh, because it takes a tenth of a core while idle: it asks its queue 1,000 times a second.
    return [Contender("litserve", (str(python), str(PEERS / "litserve_peer.py"), "{port}"), fresh=True)]


def _bentoml() -> list[Contender]:
    python = own_environment("bentoml")
    command = (str(python), "-m", "bentoml", "serve", "benchmarks.peers.bentoml_peer:Digits")
    # Fresh, because its batching keeps the waiting time that it learnt: after 64 clients at once, a single one was
    # still made to wait 10 to 70 ms for others ten seconds later.
    return [
        Contender(
            "bentoml",
            (*command, "--host", HOST, "--port", "{port}"),
            (JSON_LIST,),
            {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(python.parents[1] / "home")},
            fresh=True,
        )
    ]


_MAKERS: Mapping[str, Callable[[], list[Contender]]] = {
    "ours": _ours,
    "floor": _floor,
    "template": _template,
    "keras": _keras,
    "litserve": _litserve,
    "bentoml": _bentoml,
}
NAMES = tuple(_MAKERS)


def own_environment(peer: str) -> Path:
    """The Python of the peer's virtual environment, which is made anew when its requirements have changed.

    Raises:
        SystemExit: the packages could not be installed.
    """
    requirements = PEERS / f"{peer}.txt"
    folder = ROOT / "benchmarks/.peers" / peer
    python, installed = folder / "bin/python", folder / "installed.txt"
    if not installed.exists() or installed.read_text() != requirements.read_text():
        print(f"load: making {folder.relative_to(ROOT)}", file=sys.stderr, flush=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
            subprocess.run([*pip, "--requirement", str(requirements)], check=True)
        except subprocess.CalledProcessError as exc:
            raise SystemExit(f"load: no environment for {peer} ({exc}); --only leaves it out") from None
        installed.write_text(requirements.read_text())
    return python


def version(peer: str) -> str:
    """The peer's version in its own environment."""
    probe = f"import importlib.metadata; print(importlib.metadata.version({peer!r}))"
    return subprocess.run(
        [own_environment(peer), "-c", probe], capture_output=True, text=True, check=True
    ).stdout.strip()
