"""Does a container of 512 MB survive hostile clients, and does it answer its probes meanwhile?

    python -m benchmarks.faults.attack

Each attack meets a new service with gRPC, directly and behind the nginx of docker-compose.yml, once without keys and
once with a key that the attacker does not know. The probes ask the service itself, as an orchestrator does. The service
runs in a control group of Linux (version 1 or 2), so this needs root. The exit code is 1 if a service was killed, came
near its limit, or answered a probe late, unless it met an attack of `NEED_PROXY` without a proxy.
"""

import multiprocessing
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import cycle, product
from pathlib import Path
from socket import create_connection, socket
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import cv2
import grpc
import numpy as np
import psutil
from PIL import Image

from app.api.grpc.messages import ModelInferRequest
from app.openapi.example_pictures import EXAMPLES
from benchmarks.faults.mix import MULTIPART, form, photo
from benchmarks.harness import services
from benchmarks.harness.bodies import encoded
from benchmarks.harness.command import chosen, parser, progress
from benchmarks.harness.proxy import nginx
from benchmarks.harness.report import header, table
from benchmarks.harness.servers import HOST, free_port, serving
from benchmarks.harness.traffic import Request, send
from digits.features import Grey

LIMIT_MB = 512

SPARE_MB = 64
"""How far the peak must stay below the limit."""

LATE_SECONDS = 1
"""A probe that takes longer is late."""

SETTLE_SECONDS = 60
"""Time until the memory is read again."""

HEALTH, INFER = "/grpc.health.v1.Health/Check", "/inference.GRPCInferenceService/ModelInfer"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


@dataclass(frozen=True, slots=True)
class Target:
    """The ports of the service that is attacked."""

    port: int
    grpc_port: int

    def connect(self) -> socket:
        """Open an HTTP connection."""
        return create_connection((HOST, self.port), timeout=60)

    def channel(self) -> grpc.Channel:
        """Open a gRPC connection that no other channel shares."""
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1))
        return grpc.insecure_channel(f"{HOST}:{self.grpc_port}", options)


def _pipeline(target: Target, requests: bytes, connections: int, seconds: float = 8) -> str:
    """Send requests at once on many connections, and read the replies for some seconds."""

    def send_all(connection: socket) -> None:
        with suppress(OSError):
            connection.sendall(requests)

    received = 0
    with ExitStack() as stack:
        sockets = [stack.enter_context(target.connect()) for _ in range(connections)]
        for one in sockets:
            threading.Thread(target=send_all, args=(one.dup(),), daemon=True).start()
            one.settimeout(0.05)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for one in sockets:
                with suppress(OSError):
                    received += one.recv(1 << 20).count(b"HTTP/1.1 ")
    return f"{received:,} answered in {seconds:g} s"


def pipelined(target: Target) -> str:
    """267 000 requests of 28 bytes at once, on 30 connections"""
    return _pipeline(target, b"GET /a HTTP/1.1\r\nHost:a\r\n\r\n" * 8900, 30)


def upgrades(target: Target) -> str:
    """500 upgrades with heads of 40 kB at once, on 4 connections"""
    head = b"GET /livez HTTP/1.1\r\nHost:a\r\nConnection:upgrade\r\nUpgrade:x\r\nX:" + b"a" * 40_000 + b"\r\n\r\n"
    return _pipeline(target, head * 500, 4)


def hidden_requests(target: Target) -> str:
    """1000 requests hidden in bodies, behind heads with Upgrade that arrive in two parts, from 4 clients"""
    livez = b"GET /livez HTTP/1.1\r\nHost:a\r\nConnection:%b\r\n\r\n"
    hidden, last = livez % b"keep-alive", livez % b"close"
    fields = b"Host:a\r\nConnection:Upgrade\r\nUpgrade:h2c\r\nContent-Length:%d\r\n\r\n" % len(hidden)

    def client() -> list[str]:
        outcomes = []
        for _ in range(250):
            with suppress(OSError), target.connect() as connection:
                connection.sendall(b"POST /nothing HTTP/1.1\r\n" + fields[:30])
                time.sleep(0.002)
                connection.sendall(fields[30:] + hidden)
                time.sleep(0.002)
                connection.sendall(last)
                replies = b"".join(iter(lambda: connection.recv(65536), b""))
                outcomes.append("answered" if replies.count(b"HTTP/1.1 ") > 2 else "not answered")
        return outcomes

    return _counted(_from_clients(4, client))


def documents(target: Target) -> str:
    """60 GET /openapi.json at once, on 100 connections"""
    return _pipeline(target, b"GET /openapi.json HTTP/1.1\r\nHost:a\r\n\r\n" * 60, 100)


def endless_heads(target: Target) -> str:
    """Heads without an end, trailers without an end and nothing but line ends, on 30 connections for 8 s"""
    chunked = b"POST /predict HTTP/1.1\r\nHost:a\r\nContent-Type:image/png\r\nTransfer-Encoding:chunked\r\n\r\n0\r\n"
    kinds = ((b"GET /a HTTP/1.1\r\n", b"a:b\r\n" * 13_000), (chunked, b"a:b\r\n" * 13_000), (b"", b"\r\n" * 32_000))
    deadline = time.monotonic() + 8

    def client(kind: int) -> tuple[int, int]:
        start, rest = kinds[kind % len(kinds)]
        sent = closed = 0
        while time.monotonic() < deadline:
            with suppress(OSError), target.connect() as connection:
                connection.settimeout(1)
                connection.sendall(start)
                while time.monotonic() < deadline:
                    connection.sendall(rest)
                    sent += len(rest)
            closed += 1
        return sent, closed

    with ThreadPoolExecutor(30) as pool:
        results = list(pool.map(client, range(30)))
    return f"{sum(sent for sent, _ in results) >> 20} MB sent, {sum(closed for _, closed in results) - 30} closed"


def empty_inputs(target: Target) -> str:
    """Messages of millions of empty fields, for inference and for reflection, and 1 GB in 1 MB of gzip"""
    with target.channel() as channel:
        message = b"\x2a\x00" * ((8 << 20) - 8)
        codes = [_code(channel.unary_unary(INFER).future(message[: (1 << 20) * size - 16])) for size in (16, 8, 4)]
        bomb = channel.unary_unary(INFER).future(bytes(1 << 30), compression=grpc.Compression.Gzip)
        replies = channel.stream_stream(REFLECTION)(iter([b"\x2a\x00\x3a\x00" * ((1 << 20) - 16)]), timeout=60)
        with suppress(grpc.RpcError):
            list(replies)
        return _counted([*codes, _code(bomb), replies.code().name])


def large_messages(target: Target) -> str:
    """Eight gRPC calls of 4 and 8 MB at once, from each of 16 clients"""

    def client() -> list[str]:
        with target.channel() as channel:
            pictures = [ModelInferRequest(raw_input_contents=[bytes(size - 8)]) for size in (8 << 20, 4 << 20)]
            large, allowed = (each.SerializeToString() for each in pictures)
            return [_code(call) for call in [channel.unary_unary(INFER).future(body) for body in [large, allowed] * 4]]

    return _counted(_from_clients(16, client))


def silent_calls(target: Target) -> str:
    """320 gRPC probes that send no message, kept open for 8 s"""

    def nothing() -> Iterator[bytes]:
        threading.Event().wait(9)
        yield from ()

    def client() -> list[str]:
        with target.channel() as channel:
            calls = [channel.stream_unary(HEALTH).future(nothing(), timeout=8) for _ in range(20)]
            return [_code(call) for call in calls]

    return _counted(_from_clients(16, client))


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Return one frame of HTTP/2 (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _http2(target: Target, connections: int, streams: Callable[[int], bytes]) -> str:
    """Open connections to the gRPC port for 10 s, and send on each the frames that `streams` makes of a number."""
    deadline = time.monotonic() + 10

    def client() -> tuple[int, int]:
        sent = closed = 0
        while time.monotonic() < deadline:
            time.sleep(0.01)  # a service that was killed refuses
            with suppress(OSError), create_connection((HOST, target.grpc_port), timeout=1) as connection:
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0))
                threading.Thread(target=_discard, args=(connection.dup(),), daemon=True).start()
                for number in range(1 << 30):
                    if time.monotonic() > deadline:
                        break
                    connection.sendall(streams(number))
                    sent += 1
            closed += 1
        return sent, closed

    with ThreadPoolExecutor(connections) as pool:
        results = [future.result() for future in [pool.submit(client) for _ in range(connections)]]
    return f"{sum(sent for sent, _ in results):,} streams, {sum(closed for _, closed in results) - connections} closed"


def _discard(connection: socket) -> None:
    """Read until the end, so that the service can write."""
    with suppress(OSError), connection:
        while connection.recv(1 << 16):
            pass


# The head of a call in HPACK (RFC 7541): POST, http, and four literals that are not added to the table.
_CALL = b"\x83\x86" + b"".join(
    b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value
    for name, value in (
        (b":path", INFER.encode()),
        (b":authority", b"a"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
)


def references(target: Target) -> str:
    """Heads of gRPC calls that name a header of 3 900 bytes 50 times, with one byte each, from 4 clients for 10 s"""
    value = b"a" * 3900
    # The value is added to the table of the connection (its length is 127 + 3773), and is entry 62 from then on.
    added = b"\x40\x01x\x7f" + bytes((3773 & 127 | 128, 3773 >> 7)) + value

    def streams(number: int) -> bytes:
        return _frame(1, 4, 2 * number + 1, _CALL + (b"\xbe" * 50 if number else added))

    return _http2(target, 4, streams)


def resets(target: Target) -> str:
    """Calls over gRPC that are reset at once, from 2 clients for 10 s"""

    def streams(number: int) -> bytes:
        return _frame(1, 4, 2 * number + 1, _CALL) + _frame(3, 0, 2 * number + 1, b"\0\0\0\x08")

    return _http2(target, 2, streams)


def large_bodies(target: Target) -> str:
    """The largest bodies, as photos of 12 megapixels and as nothing, from 16 clients for 10 s"""
    picture = Request("", photo().ljust(12_600_000, b"\0"), "image/jpeg")
    return _repeated(target, 16, [picture, replace(picture, body=bytes(16 << 20))])


def costly_pictures(target: Target) -> str:
    """The picture of each format that takes most memory, and a photo to read, from 64 clients for 10 s"""
    noise = Image.effect_noise((1510, 1510), 90).resize((6040, 6040), Image.Resampling.NEAREST)
    colour = Image.merge("RGB", [noise, noise.rotate(90), noise])
    small = colour.crop((0, 0, 3160, 3160))
    pictures: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "png": (colour, {"compress_level": 1}),
        "tiff": (colour, {"compression": "tiff_adobe_deflate"}),
        "jpeg": (colour.crop((0, 0, 4990, 4990)), {"quality": 30, "progressive": True, "subsampling": 0}),
        "webp": (small, {"quality": 30, "method": 0}),
        "gif": (noise, {}),
    }
    bodies = {name: encoded(one, name, **options) for name, (one, options) in pictures.items()}
    requests = [Request("", body, f"image/{name}") for name, body in bodies.items()]
    return _repeated(target, 64, [*requests, Request("", photo(), "image/jpeg", path="/read")])


def hidden_frames(target: Target) -> str:
    """32 GIFs of 37 kB at once, each with a frame of 7000x7000 that a viewer must remove after showing it"""
    gif = bytearray(encoded(Image.new("P", (7000, 7000)), "gif"))
    start = gif.index(b"\x2c", 13)
    gif[start:start] = b"\x21\xf9\x04\x08\0\0\0\0"
    return _counted(_from_clients(32, lambda: [str(send(target.port, Request("", bytes(gif), "image/gif")))]))


def _bilevel_png(picture: Grey) -> bytes:
    """Return a picture as PNG of one bit for each pixel."""
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_PNG_BILEVEL, 1]
    return cv2.imencode(".png", picture, options)[1].tobytes()


def readings(target: Target) -> str:
    """A PNG of 482 bytes with lines that could be cut anywhere, read for 6 clients for 10 s"""
    board = np.zeros((250, 2999), np.uint8)
    x = np.arange(5, 2994)
    for y in range(5, 245, 20):
        zigzag = np.stack([x, y + np.abs(x % 16 - 8)], axis=1)
        cv2.polylines(board, [zigzag.astype(np.int32)], False, 255, 4)
    return _repeated(target, 6, [Request("", _bilevel_png(board), "image/png", path="/read")])


def reading_forms(target: Target) -> str:
    """A form of 256 PNGs of 575 bytes with rings that touch, read for 2 clients for 10 s"""
    paper = np.full((250, 999), 255, np.uint8)
    for y in range(21, 234, 48):
        for x in range(21, 983, 25):
            cv2.circle(paper, (x, y), 16, 0, 2)
    body = form(*[_bilevel_png(paper)] * 256)
    return _repeated(target, 2, [Request("", body, MULTIPART, path="/read")])


def long_paths(target: Target) -> str:
    """Paths of 64 000 colons, from 4 clients for 10 s"""
    return _repeated(target, 4, [Request("", method="GET", path=f"/v1/models/{':' * 64_000}/")])


def long_replies(target: Target) -> str:
    """Replies with the pixels, the ink and the saliency of 1024 photos, for 6 clients, and unread on 40 connections"""
    photos = form(*[(EXAMPLES / "photo-4.jpg").read_bytes()] * 1024)
    requests = [Request("", photos, MULTIPART, path=f"/predict?include={each}") for each in ("pixels", "ink")]
    noise = os.urandom(784 * 1024)
    head = "POST /predict?normalize=never&include=pixels,saliency HTTP/1.1\r\nHost:a\r\nContent-Type:%s\r\n"
    unread = (head % "application/octet-stream").encode() + b"Content-Length:%d\r\n\r\n" % len(noise) + noise
    with ExitStack() as stack:
        for _ in range(40):
            one = stack.enter_context(target.connect())
            with suppress(OSError):
                one.sendall(unread)
        return _repeated(target, 6, requests)


def echoes(target: Target) -> str:
    """Values of 6 MB where /v2 expects short ones, and Swagger's files to compress, from 100 clients for 10 s"""
    path = "/v2/models/mnist-dense/infer"
    size = b'{"inputs": [{"name": "pixels", "parameters": {"binary_data_size": "%b"}}]}' % (b"7" * 6_000_000)
    shape = b'{"inputs": [{"name": "pixels", "datatype": "UINT8", "data": [7], "shape": [%b1]}]}' % (b"1," * 3_000_000)
    requests = [Request("", body, "application/json", path=path) for body in (size, shape)]
    swagger = Request("", method="GET", path="/docs/assets/swagger-ui-bundle.js")
    return _repeated(target, 100, [*requests, *[swagger] * 8])


def unread_log(target: Target) -> str:
    """4 clients send requests for 10 s, and no program reads the service's log"""
    return _repeated(target, 4, [Request("")])


def together(target: Target) -> str:
    """All of these together"""
    with ThreadPoolExecutor() as pool:
        each = [pool.submit(one, target) for one in ATTACKS.values() if one is not together]
    return f"{sum(one.exception() is None for one in each)} attacks ended"


ATTACKS: dict[str, Callable[[Target], str]] = {
    attack.__name__: attack
    for attack in (
        pipelined,
        upgrades,
        hidden_requests,
        documents,
        endless_heads,
        empty_inputs,
        large_messages,
        silent_calls,
        references,
        resets,
        large_bodies,
        costly_pictures,
        hidden_frames,
        readings,
        reading_forms,
        long_paths,
        long_replies,
        echoes,
        unread_log,
        together,
    )
}
"""To add an attack, write a function that returns what the attacker saw, and add it here."""

NEED_PROXY = {endless_heads, together}
"""Attacks that a service holds only behind a proxy: SECURITY.md."""

WAYS = ("direct", "nginx")


def _from_clients(count: int, client: Callable[[], list[str]]) -> list[str]:
    with ThreadPoolExecutor(count) as pool:
        return [outcome for each in [pool.submit(client) for _ in range(count)] for outcome in each.result()]


def _repeated(target: Target, count: int, requests: Sequence[Request]) -> str:
    """Send these requests again and again, from so many clients for 10 s."""
    deadline = time.monotonic() + 10

    def client() -> list[str]:
        statuses = []
        for request in cycle(requests):
            if time.monotonic() > deadline:
                break
            statuses.append(str(send(target.port, request)))
        return statuses

    return _counted(_from_clients(count, client))


def _counted(outcomes: Iterable[str]) -> str:
    return ", ".join(f"{number} {outcome}" for outcome, number in Counter(outcomes).most_common())


def _code(call: grpc.Future) -> str:
    """Return the status code that a call ends with."""
    code: str = call.code().name
    return code


@contextmanager
def control_group() -> Iterator[tuple[Path, Path]]:
    """Make a control group that limits memory, and remove it after the block.

    Yields:
        Its folder, and the file with the largest memory so far, in bytes, page cache included.

    Raises:
        SystemExit: this process may not make one.
    """
    root, is_first = Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory").is_dir()
    folder = (root / "memory" if is_first else root) / f"digits-attack-{os.getpid()}"
    try:
        folder.mkdir()
        for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if is_first else ("memory.max",):
            (folder / name).write_text(str(LIMIT_MB << 20))
    except OSError as exc:
        raise SystemExit(f"cannot make a control group, which needs root on Linux: {exc}") from None
    try:
        yield folder, folder / ("memory.max_usage_in_bytes" if is_first else "memory.peak")
    finally:
        folder.rmdir()


@contextmanager
def probes(target: Target, clients: Target) -> Iterator[dict[str, float]]:
    """Send probes on new connections during the block, and a drawing on the way that other clients take.

    Yields:
        The longest time of each, in seconds.
    """
    longest = {"livez": 0.0, "Check": 0.0, "drawing": 0.0}
    drawing = Request("", (EXAMPLES / "drawing-4.png").read_bytes(), "image/png")
    stop = threading.Event()

    def livez() -> None:
        with target.connect() as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            connection.recv(1000)

    def check() -> None:
        with target.channel() as channel:
            channel.unary_unary(HEALTH)(b"", timeout=60)

    def run(name: str, probe: Callable[[], None]) -> None:
        while not stop.is_set():
            began = time.monotonic()
            with suppress(OSError, grpc.RpcError):
                probe()
            longest[name] = max(longest[name], time.monotonic() - began)
            time.sleep(0.02)

    probes = {"livez": livez, "Check": check, "drawing": lambda: send(clients.port, drawing)}
    threads = [threading.Thread(target=run, args=pair) for pair in probes.items()]
    for thread in threads:
        thread.start()
    try:
        yield longest
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def attack(name: str, way: str, keys: str) -> tuple[list[str], bool]:
    """Attack a new service. Return the row of the table, and whether the service held."""
    grpc_port = free_port()
    settings = {"MNIST_GRPC_PORT": str(grpc_port), "MNIST_LOG_FORMAT": "json"}
    with control_group() as (group, peak), NamedTemporaryFile("w") as file, TemporaryDirectory() as folder:
        if keys:
            print(keys, file=file, flush=True)
            settings["MNIST_API_KEYS_FILE"] = file.name
        command = f"echo $$ > {group}/cgroup.procs; exec {sys.executable} -m app"
        if name == unread_log.__name__:
            os.mkfifo(log := f"{folder}/log")
            os.open(log, os.O_RDWR)  # until the end of this process, so that the service can open it
            command += f" 2> {log}"
        service = services.own(settings=settings)
        with ExitStack() as running:
            server = running.enter_context(
                serving(("sh", "-c", command), service.environment, service.folder, service.ready)
            )
            target = attacked = Target(server.port, grpc_port)
            if way == "nginx":
                port = running.enter_context(nginx(server.port, grpc_port)).port
                attacked = Target(port, port)
            process = psutil.Process(server.process.pid)
            before_mb = process.memory_info().rss / (1 << 20)
            with probes(target, attacked) as longest, multiprocessing.get_context("spawn").Pool(1) as pool:
                time.sleep(1)
                seen = pool.apply(ATTACKS[name], (attacked,))
            killed = server.process.poll() is not None
            time.sleep(0 if killed else SETTLE_SECONDS)
            after = "killed" if killed else f"{process.memory_info().rss / (1 << 20) - before_mb:+.0f}"
            peak_mb = int(peak.read_text()) / (1 << 20)
    row = [ATTACKS[name].__doc__ or name, way, "yes" if keys else "no", seen, f"{peak_mb:.0f}", after]
    row += [f"{seconds:.2f}" for seconds in longest.values()]
    is_late = max(longest["livez"], longest["Check"]) > LATE_SECONDS
    held = not killed and peak_mb <= LIMIT_MB - SPARE_MB and not is_late
    return [*row, "yes" if held else "no"], held


def main() -> None:
    """Print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", default=",".join(ATTACKS), help="default: %(default)s")
    options = arguments.parse_args()
    rows, all_held = [], True
    for name in chosen(arguments, "--only", options.only, ATTACKS):
        for way, keys in product(WAYS, ("", "client:a-key-that-the-attacker-does-not-know")):
            row, held = attack(name, way, keys)
            progress(" | ".join(row))
            rows.append(row)
            all_held &= held or (way == "direct" and ATTACKS[name] in NEED_PROXY)
    print(header(("uvicorn", "grpcio", "onnxruntime", "pillow")))
    print(f"\nMemory in MB, of {LIMIT_MB}. Afterwards: {SETTLE_SECONDS} s later, compared with before.\n")
    measured = ["peak", "afterwards", "/livez at most, s", "Check, s", "a drawing, s", "held"]
    print(table(["attack", "way", "keys", "the attacker saw", *measured], rows))
    sys.exit(not all_held)


if __name__ == "__main__":
    main()
