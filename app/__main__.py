"""`python -m app`: serve with the settings of the environment."""

import resource
import sys

from app.server.listener import listen
from app.server.supervisor import Supervisor
from app.settings import read_settings
from app.worker import serve, serve_worker

_MAX_OPEN_FILES = 65536
"""Limit for open files. Each connection counts as one. A process does not have the memory for more."""


def main() -> int:
    """Listen, serve until a signal stops the service, and return the exit code.

    Raises:
        SystemExit: a setting is invalid or the address is not available; its message is one line.
    """
    settings = read_settings()
    listener = listen(settings.host, settings.port)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Shells usually allow only 1024.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MAX_OPEN_FILES), hard))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    print(f"digits: http://{host}:{listener.getsockname()[1]}", file=sys.stderr, flush=True)
    if settings.workers > 1:
        return Supervisor(serve_worker, settings, listener).run()
    serve(settings, listener)
    return 0


if __name__ == "__main__":
    sys.exit(main())
