"""`create_app(settings)`: the only place that ties the parts together."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.routing import Route

from app import errors
from app.api import health, model, predict, read
from app.api import metrics as metrics_endpoint
from app.api.error_response import error_response
from app.api.open_inference.handlers import OpenInference
from app.api.open_inference.inference import Inference
from app.api.open_inference.routes import open_inference_router
from app.api.predict_options import Options, ReadOptions
from app.api.tensorflow_serving.handlers import TensorFlowServing
from app.api.tensorflow_serving.routes import tensorflow_serving_router
from app.asgi import middleware
from app.asgi.api_keys import public_paths
from app.asgi.application import Application
from app.asgi.dispatcher import Dispatcher
from app.asgi.endpoint import Endpoint
from app.asgi.in_work import RequestsInWork
from app.inference.model_registry import ModelRegistry
from app.inference.predictor import Predictor
from app.input.body import MemoryBudget
from app.openapi import document
from app.openapi.dialects import dialect_paths
from app.openapi.predict import predict_paths
from app.openapi.read import read_paths
from app.pages import api_docs, drawing
from app.settings import Settings, read_settings
from app.telemetry import logs
from app.telemetry.drift import Drift
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import spans_to

VERSION = "0.1.0"

_log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, *, with_grpc: bool = False) -> Application:
    """Return the service as an ASGI application.

    Args:
        settings: the settings; None reads them from the environment, as `uvicorn --factory app.main:create_app` needs.
        with_grpc: whether the server also starts the application's gRPC server, as ours does.

    Raises:
        SystemExit: a setting in the environment is not valid.
    """
    settings = settings or read_settings()
    log_format = logs.format_in_use(settings.log_format)
    logs.configure(log_format)
    metrics = Metrics()
    registry = ModelRegistry(
        settings.model_dir,
        settings.model_version,
        extra_versions=settings.model_versions,
        labels=dict(settings.model_labels),
        on_load=metrics.count_load,
    )
    predictor = Predictor(settings, registry, metrics)
    memory_budget = MemoryBudget(settings.max_body_bytes)
    spans = spans_to(str(settings.traces_endpoint)) if settings.traces_endpoint else None
    drift = Drift(metrics, served=lambda: registry.classifier.manifest if registry.started else None)
    in_work = RequestsInWork(settings.max_requests)

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        registry.refresh()
        # These objects live as long as the process. Without this, each full garbage collection takes 40 ms longer.
        gc.collect()
        gc.freeze()
        background = [
            asyncio.create_task(registry.keep_refreshing(settings.reload_seconds)),
            asyncio.create_task(_keep_metrics_current(metrics, in_work, registry)),
            asyncio.create_task(drift.keep_history()),
        ]
        yield
        for task in background:
            task.cancel()
        metrics.flush()
        if spans is not None:
            await asyncio.to_thread(spans.close)

    our_protocol = predict.Predict(settings, registry, predictor, memory_budget)
    number_reader = read.Read(settings, registry, predictor, memory_budget)
    tensorflow_serving = TensorFlowServing(settings, registry, predictor, memory_budget)
    inference = Inference(settings, registry, predictor, memory_budget, metrics)
    open_inference = OpenInference(settings, registry, inference, metrics=metrics, version=VERSION)
    # FastAPI answers everything else. It does not know these paths, so a new one also needs an entry in
    # `app.openapi.predict` or `app.openapi.dialects`.
    dispatcher = Dispatcher(
        [
            Route("/predict", Endpoint({"POST": our_protocol}, in_work)),
            Route("/read", Endpoint({"POST": number_reader}, in_work)),
            Route("/invocations", Endpoint({"POST": tensorflow_serving.invocations}, in_work)),
        ],
        {
            "v1": tensorflow_serving_router(tensorflow_serving, in_work),
            "v2": open_inference_router(open_inference, in_work),
        },
        default=middleware.PageHeaders(_fastapi(settings, registry, metrics, drift, lifespan)),
    )
    record = spans.record if spans is not None else None
    grpc_server = None
    if settings.grpc_port is not None and not with_grpc:
        _log.warning("gRPC is off: only `digits serve` and `python -m app` open MNIST_GRPC_PORT")
    elif settings.grpc_port is not None:
        # Imported here because they take 0.2 s and 8 MB, and are an extra.
        from app.api.grpc.codes import error_response as grpc_error_response  # noqa: PLC0415
        from app.api.grpc.handlers import InferenceService  # noqa: PLC0415
        from app.api.grpc.health import Health  # noqa: PLC0415
        from app.api.grpc.server import SERVICES, GrpcServer, call_router  # noqa: PLC0415

        calls = call_router(
            InferenceService(settings, registry, inference, memory_budget, metrics=metrics, version=VERSION),
            Health(registry, memory_budget),
            in_work,
        )
        grpc_server = GrpcServer(
            Application(
                middleware.wrap(calls, settings, dict.fromkeys(SERVICES, grpc_error_response)),
                metrics=metrics,
                in_work=in_work,
                registry=registry,
                drift=drift,
                log_format=log_format,
                record=record,
                protocol="grpc",
            ),
            settings,
        )
    return Application(
        middleware.wrap(dispatcher, settings, {"v1": error_response, "v2": error_response}),
        metrics=metrics,
        in_work=in_work,
        registry=registry,
        drift=drift,
        log_format=log_format,
        record=record,
        grpc_server=grpc_server,
    )


def _fastapi(
    settings: Settings,
    registry: ModelRegistry,
    metrics: Metrics,
    drift: Drift,
    lifespan: Callable[[object], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """Return the FastAPI application for what is requested rarely: pages, probes, metadata and documentation."""
    api = FastAPI(
        title="Digits",
        version=VERSION,
        description=document.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        openapi_url="/openapi.json" if settings.docs else None,
        generate_unique_id_function=document.operation_id,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
        # Otherwise FastAPI looks for an OpenTelemetry configuration at each request, which takes 4 us.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    api.state.registry = registry
    api.state.metrics = metrics
    api.state.drift = drift
    errors.install(api)
    if settings.docs:
        api_docs.install(api)
    drawing.install(api, settings)
    for routes in (model, health, metrics_endpoint):
        api.include_router(routes.router)
    document.install(
        api,
        predict_paths(Options) | read_paths(ReadOptions) | dialect_paths(),
        open_paths=public_paths(settings) if settings.api_keys else None,
    )
    return api


async def _keep_metrics_current(metrics: Metrics, in_work: RequestsInWork, registry: ModelRegistry) -> None:
    """Add the recorded values to the metrics ten times a second, and update the state gauges once a second."""
    while True:
        ready = registry.unready_reason() is None
        model = None
        if registry.started:
            manifest = registry.classifier.manifest
            model = manifest.name, str(manifest.version)
        metrics.set_state(in_work=in_work.count, ready=ready, model=model)
        for _ in range(10):
            metrics.flush()
            await asyncio.sleep(0.1)
