"""The services that the benchmarks compare, and the command that starts each."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.harness.bodies import BODIES, GOLDEN, JSON, MODEL, PICTURES, Body
from benchmarks.harness.servers import HOST, ROOT, Server, serving
from digits.features import CLASSES
from digits.model.classifier import GOLDEN_TOLERANCE


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

    @contextmanager
    def started(self, checked: Sequence[Body] = ()) -> Iterator[Server]:
        """Run the service until the block is left.

        Args:
            checked: bodies with which the golden digits are sent first. Empty: the first of `bodies`.

        Raises:
            SystemExit: the service did not start, or its answer to a golden digit is wrong.
        """
        with serving(self.command, self.environment, self.folder, self.ready) as server:
            for body in checked or self.bodies[:1]:
                for pixels, expected in zip(GOLDEN.pixels, GOLDEN.probabilities, strict=True):
                    reply = server.ask("/predict", body.encode(pixels), body.headers)
                    exact = body not in PICTURES
                    right = reply.status == 200 and (self.is_constant or is_right(reply.body, expected, exact=exact))
                    if not right:
                        received = f"{reply.status}: {reply.body[:300]!r}"
                        raise SystemExit(f"{self.name}, {body.name}: expected {expected.argmax()}, received {received}")
            yield server


def is_right(reply: bytes, expected: np.ndarray, *, exact: bool) -> bool:
    """Return whether a reply has the expected digit, and unless the picture was normalized, the probabilities."""
    answer = json.loads(reply)
    rows = [one["probabilities"] for one in answer.get("predictions", [answer])]
    probabilities = np.array(rows, dtype=np.float64).reshape(-1, CLASSES)
    is_near = np.abs(probabilities - expected).max() <= GOLDEN_TOLERANCE
    return bool((probabilities.argmax(axis=1) == expected.argmax()).all() and (is_near or not exact))


def own(*, folder: Path = ROOT, name: str = "ours", settings: Mapping[str, str] | None = None) -> Service:
    """Return the service of a checkout as `make serve` starts it, with its access log and with this checkout's model.

    The settings are environment variables.
    """
    model = {"MNIST_MODEL_DIR": str(MODEL.parents[1]), "MNIST_MODEL_VERSION": MODEL.name}
    environment = {"MNIST_HOST": HOST, "MNIST_PORT": "{port}", **model, **(settings or {})}
    command = (sys.executable, "-m", "app")
    return Service(name, command, tuple(BODIES.values()), environment, folder, ready="/readyz")


def _constant(name: str, app: str, bodies: tuple[Body, ...]) -> Service:
    """Return uvicorn with a constant reply: a copy of our reply, headers included."""
    # Braces in the environment stand for the port, unless they are doubled.
    environment = {"FLOOR_REPLY": _copied_reply().replace("{", "{{").replace("}", "}}")}
    return Service(name, _uvicorn(f"benchmarks.peers.floor:{app}"), bodies, environment, is_constant=True)


@cache
def _copied_reply() -> str:
    """Return the headers and body of our reply to a digit, as JSON."""
    with own().started() as server:
        reply = server.ask("/predict", JSON.encode(GOLDEN.pixels[0]), JSON.headers)
    headers = [pair for pair in reply.headers if pair[0].lower() != "date"]  # uvicorn adds the date
    return json.dumps({"headers": headers, "body": reply.body.decode()})


def _uvicorn(app: str) -> tuple[str, ...]:
    options = ("--host", HOST, "--port", "{port}", "--loop", "uvloop", "--http", "httptools")
    return (sys.executable, "-m", "uvicorn", app, *options, "--no-access-log", "--no-server-header")


SERVICES: Mapping[str, Callable[[], Service]] = {
    "ours": own,
    "floor": lambda: _constant("floor", "app", tuple(BODIES.values())),
    "decode-floor": lambda: _constant("decode-floor", "decode_app", (BODIES["png"], *PICTURES)),
    "template": lambda: Service("template", _uvicorn("benchmarks.peers.template:app")),
}
