"""Our own dialect: `POST /predict` for one digit per picture, `POST /read` for numbers of several digits."""

from typing import Annotated

from fastapi import Query

from app.api.query import PredictQuery, ReadQuery, extend
from app.asgi.route import Reply, ServiceRequest, direct_router
from app.input.pictures import PICTURE_TYPES, read_pictures
from app.openapi.bodies import PREDICT_BODY, READ_BODY
from app.openapi.replies import PICTURE_REFUSALS, answered
from app.openapi.schemas import Number, Numbers, Prediction, Predictions
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

    Several pictures get a list of predictions, in the order sent.
    """
    service = request.service
    with service.requests.begin(request) as work:
        pictures = await read_pictures(work, query.normalize)
        inference = await service.data_plane.infer(pictures)
        if query.model_fields_set:
            await extend(service.data_plane, inference, query, inference.predictions, work)
        records = inference.predictions
        content = records[0] if pictures.single else {"predictions": records}
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

    Digits may touch. Each has a box and says how far to trust it.
    """
    service = request.service
    service.registry.classifier.require_digits()
    with service.requests.begin(request) as work:
        pictures = await read_pictures(work, types=PICTURE_TYPES)
        read = await service.data_plane.read(pictures)
        if query.model_fields_set:
            await extend(service.data_plane, read.digits, query, read.numbers, work)
            for number in read.numbers:
                set_accept(number, query.marks)  # another coverage gives other prediction sets
        content = read.numbers[0] if pictures.single else {"predictions": read.numbers}
        return Reply.of(content, read.digits.classifier.model_id, read.digits.pass_rows)
