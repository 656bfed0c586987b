"""The service as a Ray Serve deployment, in as many replicas as the load requires.

    make scale                            # a cluster on this machine, http://127.0.0.1:8000
    serve deploy deploy/ray/serve.yaml    # an existing cluster, whose nodes have this package

Each replica is a process that runs the whole application and reads its settings from the environment. Ray Serve
controls the address, the number of processes and the draining.
"""

import asyncio
from typing import Any

from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.asgi.service import Service
from app.main import create_app
from app.settings import Settings, read_settings
from app.start import FINISH_SECONDS
from deploy.ray.metrics import report_forever

REPLICA_CPUS = 0.7
"""Cores per replica: its share of a request's processor time. HAProxy and Ray's other processes use the rest."""

AUTOSCALING: dict[str, Any] = {
    "min_replicas": 1,
    "max_replicas": 100,
    # A replica classifies the requests that it holds in one forward pass. More than eight do not raise its throughput.
    "target_ongoing_requests": 8,
    "upscale_delay_s": 5,
    "downscale_delay_s": 120,
    "look_back_period_s": 15,
}

MAX_REQUESTS: int = Settings.model_fields["max_requests"].default


@serve.deployment(
    name="digits",
    ray_actor_options={"num_cpus": REPLICA_CPUS},
    autoscaling_config=AUTOSCALING,
    # More than the application accepts, so that the application refuses requests and counts the refusals. Requests that
    # wait in Serve take unlimited memory.
    max_ongoing_requests=2 * MAX_REQUESTS,
    max_queued_requests=MAX_REQUESTS,
    backpressure_config={"retry_after_s": 1},
    health_check_period_s=5,
    health_check_timeout_s=5,
    # Rounded up to one replica: the old replicas answer until the new ones do.
    max_surge_percent=25,
    graceful_shutdown_wait_loop_s=0.5,
    graceful_shutdown_timeout_s=FINISH_SECONDS,
    # The application writes the access log.
    logging_config=LoggingConfig(enable_access_log=False),
)
@serve.ingress()
class Digits:
    """A replica: a process that runs the whole application."""

    def __init__(self) -> None:
        try:
            self._app = create_app(read_settings())
        except SystemExit as exc:  # SystemExit would end the process, and Serve's status would not show the reason.
            raise ValueError(str(exc)) from None
        self._service: Service = self._app.state.service
        self._reporting = asyncio.create_task(report_forever(self._service.drift))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the application. Serve runs its lifespan."""
        return _without_request_id(self._app)

    def check_health(self) -> None:
        """Raise RuntimeError if the model is not ready. Serve then replaces the replica."""
        if (reason := self._service.registry.unready_reason()) is not None:
            raise RuntimeError(reason)


app = Digits.bind()  # type: ignore[attr-defined] # Ray's types say that a deployment is still the class.
"""The application that `deploy/ray/serve.yaml` deploys, also for `serve run deploy.ray.application:app`."""


def _without_request_id(app: ASGIApp) -> ASGIApp:
    """Return the application without its `X-Request-ID` header, because Serve adds the same header to each reply."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_request_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [header for header in message["headers"] if header[0] != b"x-request-id"]
            await send(message)

        await app(scope, receive, send_without_request_id)

    return answer
