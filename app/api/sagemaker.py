"""`/ping` and `/invocations`, the two paths that SageMaker and MLflow call."""

from functools import partial

from fastapi.responses import PlainTextResponse, Response

from app.api.tensorflow_serving.request import read_request
from app.api.tensorflow_serving.routes import predict_reply
from app.api.tensorflow_serving.schemas import INVOCATIONS_BODY, RowProbabilities
from app.asgi.route import Reply, ServiceRequest, direct_router
from app.errors import RETRY_SECONDS
from app.input.body import read_inflated
from app.input.pictures import JSON, media_type_of, read_pictures
from app.openapi.replies import PICTURE_REFUSALS, example, examples

router = direct_router("SageMaker and MLflow")


@router.get(
    "/ping",
    summary="Check that requests can be answered",
    response_class=PlainTextResponse,
    responses={503: {"description": "Not ready"}},
)
async def ping(request: ServiceRequest) -> Response:
    """Reply with the status of `/readyz` and an empty line as the body."""
    status = 200 if request.service.registry.unready_reason() is None else 503
    return PlainTextResponse("\n", status, {"Retry-After": str(RETRY_SECONDS)} if status == 503 else None)


@router.post(
    "/invocations",
    summary="Get probabilities",
    response_model=RowProbabilities,
    responses={200: example(examples("tensorflow_serving")["POST /invocations"]), **PICTURE_REFUSALS},
    openapi_extra={"requestBody": INVOCATIONS_BODY},
)
async def invocations(request: ServiceRequest) -> Reply:
    """Send JSON as for TensorFlow Serving's `:predict`, or any other body of `/predict`.

    MLflow's `dataframe_split` and `dataframe_records` are accepted too. Each row of the data frame is a picture of 784
    columns, in the order of the pixels. A record may have one column `features` instead.
    """
    service = request.service
    parser = partial(read_request, verb="invocations", settings=service.settings)
    with service.requests.begin(request) as work:
        is_json = media_type_of(work.headers.get(b"content-type", b"")) in ("", JSON)
        pictures = await (read_inflated(work, parser) if is_json else read_pictures(work))
        return predict_reply("predictions", await service.data_plane.infer(pictures))
