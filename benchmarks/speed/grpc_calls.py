"""What does a gRPC call cost, compared with the same request under `/v2` and with MLServer?

    python -m benchmarks.speed.grpc_calls --rounds 5 --seconds 2

Each server receives the golden digits from 1 connection and from 16. With one, each request is answered alone. Compare
the processor time of the server per request: the gRPC client is slower than wrk and limits the rate, so that with 16
connections fewer calls share a forward pass. MLServer runs the same network in its own virtual environment, which is
made on first use. `--services ours` leaves it out.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

import grpc
import numpy as np

from app.api.grpc.open_inference_pb2 import ModelInferRequest, ModelInferResponse
from benchmarks.harness import services, wrk
from benchmarks.harness.bodies import GOLDEN, RAW, Body
from benchmarks.harness.command import chosen, parser
from benchmarks.harness.grpc_load import INFER, put_under_grpc_load
from benchmarks.harness.report import header, table
from benchmarks.harness.rounds import alternate, ratios, spread
from benchmarks.harness.servers import HOST, ROOT, Server, free_port, serving
from benchmarks.harness.wrk import Run, put_under_load
from benchmarks.speed.dialects import v2_binary
from digits.features import CLASSES, FEATURES, Grey, to_features
from digits.model.classifier import GOLDEN_TOLERANCE

CONNECTIONS = (1, 16)
SERVICES = ("ours", "mlserver")


@dataclass(frozen=True, eq=False)
class Way:
    """One way to send a picture to a running server."""

    name: str
    measure: Callable[[int, float], Run]
    """Puts the server under load with this number of connections, for this number of seconds."""


@dataclass(frozen=True)
class Case:
    """One way with one number of connections."""

    way: Way
    connections: int


def _float_bytes(pixels: Grey) -> bytes:
    return to_features(pixels[None]).astype("<f4").tobytes()


def message(datatype: str, content: bytes) -> bytes:
    """Return a request for one picture with raw contents."""
    request = ModelInferRequest(model_name="mnist-dense", raw_input_contents=[content])
    request.inputs.add(name="features", datatype=datatype, shape=[1, FEATURES])
    written: bytes = request.SerializeToString()
    return written


def check(address: str, messages: list[bytes]) -> None:
    """Send each golden digit once.

    Raises:
        SystemExit: an answer is wrong.
    """
    with grpc.insecure_channel(address) as channel:
        for sent, expected in zip(messages, GOLDEN.probabilities, strict=True):
            reply = ModelInferResponse.FromString(channel.unary_unary(INFER)(sent, timeout=60, wait_for_ready=True))
            probabilities = np.frombuffer(reply.raw_output_contents[0], "<f4", CLASSES)
            if not np.abs(probabilities - expected).max() <= GOLDEN_TOLERANCE:
                raise SystemExit(f"{address}: expected the digit {expected.argmax()}, received {probabilities}")


def by_grpc(name: str, server: Server, address: str, datatype: str, encode: Callable[[Grey], bytes]) -> Way:
    """Send raw contents of this datatype by gRPC."""
    messages = [message(datatype, encode(pixels)) for pixels in GOLDEN.pixels]
    check(address, messages)
    return Way(name, partial(put_under_grpc_load, server, address, messages))


def by_http(name: str, server: Server, body: Body) -> Way:
    """Send a body over HTTP/1.1 with wrk."""
    return Way(name, lambda connections, seconds: put_under_load(server, body, connections, round(seconds)))


@contextmanager
def own_ways() -> Iterator[list[Way]]:
    """Run our service. The first way is the base of the ratios."""
    port = free_port()
    with services.own(settings={"MNIST_GRPC_PORT": str(port)}).started() as server:
        address = f"{HOST}:{port}"
        yield [
            by_http("/v2, FP32 in binary", server, v2_binary("FP32", [1, FEATURES], _float_bytes).body),
            by_grpc("gRPC, FP32", server, address, "FP32", _float_bytes),
            by_http("/v2, UINT8 in binary", server, v2_binary("UINT8", [1, FEATURES], lambda p: p.tobytes()).body),
            by_grpc("gRPC, UINT8", server, address, "UINT8", lambda pixels: pixels.tobytes()),
            by_http("/predict, raw bytes", server, RAW),
        ]


@contextmanager
def mlserver_ways() -> Iterator[list[Way]]:
    """Run MLServer."""
    port = free_port()
    python = services.peer_python("mlserver")
    command = (str(python), "benchmarks/peers/mlserver_peer.py", "{port}", str(port))
    with serving(command, {}, ROOT, "/v2/health/ready") as server:
        yield [by_grpc("MLServer, gRPC, FP32", server, f"{HOST}:{port}", "FP32", _float_bytes)]


def row(case: Case, runs: list[Run], base: list[Run]) -> list[str]:
    """Format the row of a case in the table."""
    times = "" if runs is base else spread(ratios([run.cpu_us for run in runs], [run.cpu_us for run in base]), 2)
    return [
        case.way.name,
        str(case.connections),
        spread([run.rate for run in runs]),
        spread([run.cpu_us for run in runs]),
        times,
        spread([run.p50_ms for run in runs], 2),
        spread([run.p99_ms for run in runs], 2),
    ]


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__, rounds=5, seconds=2)
    arguments.add_argument("--services", default=",".join(SERVICES), help="default: %(default)s")
    options = arguments.parse_args()
    names = chosen(arguments, "--services", options.services, SERVICES)
    versions = {"wrk": wrk.version()}
    with ExitStack() as stack:
        ways = stack.enter_context(own_ways())
        if "mlserver" in names:
            ways += stack.enter_context(mlserver_ways())
            versions["mlserver"] = services.peer_version("mlserver")
        for way in ways:
            way.measure(1, wrk.WARM_SECONDS)
        groups = [[Case(way, connections) for way in ways] for connections in CONNECTIONS]
        runs = alternate(groups, options.rounds, lambda case: case.way.measure(case.connections, options.seconds))
    print(header(("grpcio", "uvicorn", "onnxruntime"), versions))
    print(f"\nMedian of {options.rounds} rounds of {options.seconds} s (least-greatest).\n")
    heads = ("way", "connections", "requests/s", "processor time of the server, us", "x /v2", "p50, ms", "p99, ms")
    print(table(heads, [row(case, runs[case], runs[group[0]]) for group in groups for case in group]))


if __name__ == "__main__":
    main()
