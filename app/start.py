"""Start the service: listen, then serve in this process or in several."""

import resource
import sys

from app.server.listener import listen
from app.server.supervisor import Supervisor
from app.settings import Settings
from app.worker import serve, serve_worker

_MAX_OPEN_FILES = 65536
"""Limit for open files. Each connection counts as one. A process does not have the memory for more."""


def start(settings: Settings) -> int:
    """Listen, serve until a signal stops the service, and return the exit code.

    Raises:
        SystemExit: the address is not available. The message is one line.
    """
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
