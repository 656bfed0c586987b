"""Install the wheel with the newest packages that it allows, and let it read a digit: `make fresh`.

`make test` uses the versions of uv.lock. `uv tool install` and pip do not, so a new release of a package can break what
they install.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

REPOSITORY = Path(__file__).resolve().parent.parent
SEVEN = REPOSITORY / "app/openapi/examples/seven.png"
START_SECONDS = 60


def install(uv: str, folder: Path) -> Path:
    """Build the wheel, install it into a new environment, and return the environment's folder of commands."""
    environment = folder / "environment"
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, REPOSITORY], check=True)
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    (wheel,) = folder.glob("*.whl")
    commands = environment / "bin"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", commands / "python", f"{wheel}[cli]"], check=True)
    return commands


def ask(url: str) -> int:
    """Return the digit that the service reads on the picture of a seven. The service may still be starting."""
    request = urllib.request.Request(f"{url}/predict", SEVEN.read_bytes(), {"Content-Type": "image/png"})
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=START_SECONDS) as reply:
                digit: int = json.load(reply)["digit"]
                return digit
        except URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main(uv: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = install(uv, folder)
        subprocess.run([uv, "pip", "freeze", "--quiet", "--python", commands / "python"], check=True)
        service = subprocess.Popen(
            [commands / "digits", "serve", "--port", "0", "--log-format", "text"],
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert service.stderr is not None
        try:
            addresses = (re.search(r"http://\S+", line) for line in service.stderr)
            digit = ask(next(found.group() for found in addresses if found))
        finally:
            service.terminate()
            service.communicate()
    assert digit == 7, f"expected the digit 7, received {digit}"
    assert service.returncode == 0, f"expected exit code 0, received {service.returncode}"
    print("digits: the installed service reads the seven")


if __name__ == "__main__":
    main(sys.argv[1])
