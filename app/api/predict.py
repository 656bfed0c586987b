"""Our own dialect: `POST /predict` for one digit per picture, `POST /read` for numbers of several digits."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query

from app import errors
from app.api.query import PredictQuery, ReadQuery, extend
from app.asgi.route import Reply, ServiceRequest, direct_router
from app.inference.picture_batch import PictureBatch
from app.input.pictures import PICTURE_TYPES, read_pictures
from app.openapi.bodies import PREDICT_BODY, READ_BODY
from app.openapi.replies import PICTURE_REFUSALS, answered
from app.openapi.schemas import Number, Numbers, Prediction, Predictions
from app.telemetry.access_log import REQUEST
from digits.finder.read import set_accept

router = direct_router("Predict")


@router.post(
    "/predict",
    summary="Recognize digits",
    response_model=Prediction | Predictions,
    response_description="One prediction, or a list of predictions for several pictures",
    responses={200: answered("predict"), **PICTURE_REFUSALS},
    openapi_extra={"requestBody": PREDICT_BODY},
)
async def predict(request: ServiceRequest, query: Annotated[PredictQuery, Query()]) -> Reply:
    """Recognize the digit in a picture that was drawn, scanned or photographed, dark on light or light on dark.

    `curl -F file=@seven.png http://127.0.0.1:8000/predict`

    Several pictures get a list of predictions, in the order sent.
    """
    service = request.service
    with service.requests.begin(request) as work:
        pictures = await read_pictures(work, query.normalize, reports_errors=query.on_error == "report")
        inference = await service.data_plane.infer(pictures)
        if query.model_fields_set:
            await extend(service.data_plane, inference, query, inference.predictions, work)
        content = _content(request, pictures, inference.predictions)
        return Reply.of(content, inference.classifier.model_id, inference.pass_rows)


@router.post(
    "/read",
    summary="Recognize numbers of several digits",
    response_model=Number | Numbers,
    response_description="The digits on a picture, or a list for several pictures",
    responses={200: answered("read"), **PICTURE_REFUSALS},
    openapi_extra={"requestBody": READ_BODY},
)
async def read(request: ServiceRequest, query: Annotated[ReadQuery, Query()]) -> Reply:
    """Read all digits on a picture: lines from top to bottom, and the digits of each line from left to right.

    `curl -F file=@number.jpg http://127.0.0.1:8000/read`

    Digits may touch. Each has a box and says how far to trust it.
    """
    service = request.service
    service.registry.classifier.require_digits()
    with service.requests.begin(request) as work:
        pictures = await read_pictures(work, types=PICTURE_TYPES, reports_errors=query.on_error == "report")
        read = await service.data_plane.read(pictures)
        if query.model_fields_set:
            await extend(service.data_plane, read.digits, query, read.numbers, work)
            for number in read.numbers:
                set_accept(number, query.marks)  # another coverage gives other prediction sets
        content = _content(request, pictures, read.numbers)
        return Reply.of(content, read.digits.classifier.model_id, read.digits.pass_rows)


def _content(request: ServiceRequest, pictures: PictureBatch, records: Sequence[Any]) -> Any:
    """Return the record of a single picture, or a list with those of several, and with the errors in their places."""
    if pictures.single:
        return records[0]
    if pictures.errors:
        request.scope[REQUEST].picture_errors = pictures.errors.values()
        answered = iter(records)
        records = [
            {"error": errors.problem_of(pictures.errors[index])} if index in pictures.errors else next(answered)
            for index in range(len(pictures))
        ]
    return {"predictions": records}
