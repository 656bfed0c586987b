"""Start a server process, and always stop it."""

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
START_SECONDS = 120
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that was read to its end."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes


@dataclass(slots=True)
class Server:
    """A running server on this machine."""

    port: int
    process: subprocess.Popen[bytes]
    _output_descriptor: int

    def output(self) -> str:
        """Return everything that the server has written to stdout and stderr so far."""
        # pread does not move the file position, which the server process shares.
        size = os.fstat(self._output_descriptor).st_size
        return os.pread(self._output_descriptor, size, 0).decode(errors="replace")

    def processes(self) -> list[psutil.Process]:
        """Return the server's process and its descendants."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the processor time that the server's processes have used so far."""
        times = [process.cpu_times() for process in self.processes()]
        return sum(each.user + each.system for each in times)

    def connections(self) -> int:
        """Count the open connections, including those that only the client has closed."""
        return sum(bool(one.raddr) for process in self.processes() for one in process.net_connections("tcp"))

    def memory_mb(self) -> float:
        """Return the memory (USS)."""
        return sum(process.memory_full_info().uss for process in self.processes()) / 1e6

    def ask(self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request on a new connection: POST with a body, otherwise GET."""
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=START_SECONDS)) as connection:
            connection.request("GET" if body is None else "POST", path, body, headers or {})
            response = connection.getresponse()
            return Reply(response.status, response.getheaders(), response.read())


@contextmanager
def serving(
    command: Sequence[str], environment: Mapping[str, str], folder: Path = ROOT, ready: str | None = None
) -> Iterator[Server]:
    """Run a server in a folder until the block is left. `ready` is as in `services.Service`.

    `{port}` in an argument of the command or in the additional environment becomes the port.

    Raises:
        SystemExit: the server ended or was not ready within two minutes. The message contains the end of its output.
    """
    port = free_port()
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [argument.format(port=port) for argument in command],
            cwd=folder,
            env=os.environ | {name: value.format(port=port) for name, value in environment.items()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches only this process, which then stops the server
        )
        server = Server(port, process, output.fileno())
        try:
            while not _is_ready(server, ready):
                if process.poll() is not None or time.perf_counter() - began > START_SECONDS:
                    lines = [f"a server did not start: {' '.join(command)}", *server.output().splitlines()[-15:]]
                    raise SystemExit("\n".join(lines))
                time.sleep(0.01)
            yield server
        finally:
            _end(process)


def wait_until(condition: Callable[[], bool], description: str) -> float:
    """Wait until a condition is true, and return the seconds that this took.

    Raises:
        SystemExit: it did not become true in two minutes.
    """
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > START_SECONDS:
            raise SystemExit(f"waited {START_SECONDS} s in vain until {description}")
        time.sleep(0.01)
    return time.perf_counter() - began


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_ready(server: Server, path: str | None) -> bool:
    try:
        if path is not None:
            return server.ask(path).status == 200
        socket.create_connection((HOST, server.port), timeout=1).close()
    except (OSError, http.client.HTTPException):
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the server to end, so that it can stop its children. Then kill the rest of its process group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)
