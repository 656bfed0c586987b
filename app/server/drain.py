"""Report that the service is not ready before it stops, so that a rollout loses no request.

At the first SIGTERM or SIGINT, `/readyz` answers 503 and each reply closes its connection (`app.asgi.middleware`).
After `MNIST_DRAIN_SECONDS`, the server's own handler stops it. A second signal ends the process at once.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable

from app.asgi.service import Service


def drain_before_stopping(service: Service) -> None:
    """Handle signals from now on. Call this in the lifespan, when the server has installed its own handlers.

    Outside of the main thread, as in Ray Serve and in test clients, no signal arrives, and this does nothing.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            stop = signal.getsignal(number)
            if callable(stop):
                asyncio.get_running_loop().add_signal_handler(number, _drain, service, number, stop)


def _drain(service: Service, number: int, stop: Callable[[int, None], object]) -> None:
    if service.registry.is_draining:
        os._exit(128 + number)
    service.drain()
    asyncio.get_running_loop().call_later(service.settings.drain_seconds, stop, number, None)
