"""A server in a process group of its own: started, asked until it listens, and ended whatever happens."""

import http.client
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
PREDICT = "/predict"
START_SECONDS = 120
STOP_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Server:
    """One that listens on this machine."""

    port: int
    process: subprocess.Popen[bytes]
    _output: int
    """A file's descriptor."""

    def said(self) -> str:
        """What it has written so far, to stdout and stderr."""
        # Not by seeking: the process writes where the file's position is.
        return os.pread(self._output, os.fstat(self._output).st_size, 0).decode(errors="replace")

    def wait_for(self, path: str) -> None:
        """Until the path is answered with 200: who listens may be a proxy, before there is a service.

        Raises:
            SystemExit: it was not within two minutes; with the end of what the server said.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError, http.client.HTTPException), closing(self.connect()) as connection:
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)
        raise SystemExit("\n".join([f"{path} was not answered with 200", *self.said().splitlines()[-15:]]))

    def connect(self) -> http.client.HTTPConnection:
        """A connection that is kept for one request after another."""
        return http.client.HTTPConnection(HOST, self.port, timeout=START_SECONDS)

    def ask(self, body: bytes, headers: Mapping[str, str], path: str = PREDICT) -> tuple[int, bytes]:
        """POST on a connection of its own; the status and the reply's body."""
        connection = self.connect()
        try:
            return post(connection, body, headers, path)
        finally:
            connection.close()


def post(
    connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str], path: str = PREDICT
) -> tuple[int, bytes]:
    """Ask about a body's pictures; the status and the reply's body."""
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    return response.status, response.read()


@contextmanager
def serving(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Server]:
    """Run a server, from when it listens until the block is left. What it says goes to a file.

    Args:
        command: run in the repository's root; `{port}` in an argument or in the environment becomes the port.
        environment: added to this process' own.

    Raises:
        SystemExit: it ended, or did not listen within two minutes; with the end of what it said.
    """
    port = free_port()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [argument.format(port=port) for argument in command],
            cwd=ROOT,
            env=os.environ | {name: value.format(port=port) for name, value in environment.items()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # also keeps the terminal's Ctrl-C from it: it is ended by us, in order
        )
        server = Server(port, process, output.fileno())
        try:
            if not _listens(process, port):
                said = server.said().splitlines()
                raise SystemExit("\n".join([f"a server did not start: {' '.join(command)}", *said[-15:]]))
            yield server
        finally:
            _end(process)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return True
        time.sleep(0.05)
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, which ends its children in order, then kill what is left of its group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_SECONDS)
