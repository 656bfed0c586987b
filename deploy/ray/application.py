"""The service on Ray Serve: the same application, in as many replicas as the load wants.

    make scale                            # a cluster of this machine alone, http://127.0.0.1:8000
    serve deploy deploy/ray/serve.yaml    # on a cluster, with this package on every node

Each replica is a process with an application of its own, and its settings from the environment, as always; address,
number of processes and drain are Serve's. It is healthy while the golden predictions come out right.
"""

import asyncio
from typing import Any

from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.main import create_app
from app.server.server import FINISH_SECONDS
from app.settings import Settings, read_settings
from deploy.ray.metrics import keep_telling

REPLICA_CPUS = 0.7
"""Of a core, for each replica: its part of what a request costs. The rest are HAProxy and Ray's other processes."""

AUTOSCALING: dict[str, Any] = {
    "min_replicas": 1,
    "max_replicas": 100,
    # Of those that a replica has at once it makes one pass; with more of them no more are answered in a second.
    "target_ongoing_requests": 8,
    "upscale_delay_s": 5,
    "downscale_delay_s": 120,
    "look_back_period_s": 15,
}

MAX_REQUESTS: int = Settings.model_fields["max_requests"].default
"""`MNIST_MAX_REQUESTS`, as a rule."""


@serve.deployment(
    name="digits",
    ray_actor_options={"num_cpus": REPLICA_CPUS},
    autoscaling_config=AUTOSCALING,
    # More than the application takes, so that it is the application that refuses, with its own words and counts: what
    # waits for Serve is read into memory without limits.
    max_ongoing_requests=2 * MAX_REQUESTS,
    max_queued_requests=MAX_REQUESTS,
    backpressure_config={"retry_after_s": 1},
    health_check_period_s=5,
    health_check_timeout_s=5,
    max_surge_percent=25,  # rounded up: the old ones answer until the new ones do
    graceful_shutdown_wait_loop_s=0.5,
    graceful_shutdown_timeout_s=FINISH_SECONDS,
    logging_config=LoggingConfig(enable_access_log=False),  # the application has one
)
@serve.ingress()
class Digits:
    """A replica."""

    def __init__(self) -> None:
        """With the settings of its environment."""
        try:
            self._service = create_app(read_settings())
        except SystemExit as exc:  # which would end the process without a word in Serve's status
            raise ValueError(str(exc)) from None
        self._telling = asyncio.create_task(keep_telling(self._service.drift))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """What answers; Serve runs its lifespan."""
        return _named_once(self._service)

    def check_health(self) -> None:
        """Raises RuntimeError unless the golden predictions come out right; Serve then replaces the replica."""
        reason = self._service.registry.unready_reason()
        if reason is not None:
            raise RuntimeError(reason)


app = Digits.bind()  # type: ignore[attr-defined] # Ray's types have it that a deployment is still the class
"""For `serve run deploy.ray.application:app`, and for what `deploy/ray/serve.yaml` deploys."""


def _named_once(service: ASGIApp) -> ASGIApp:
    """The service without its `X-Request-ID`: Serve names each request in the same header, and adds it to the reply."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def without(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [header for header in message["headers"] if header[0] != b"x-request-id"]
            await send(message)

        await service(scope, receive, without)

    return answer
