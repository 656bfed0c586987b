"""`POST /predict`, our own dialect: one digit per picture."""

from typing import Annotated

from fastapi import Query

from app.api.predictions import extend
from app.api.query import PredictQuery
from app.asgi.route import Reply, ServiceRequest, direct_router
from app.input.pictures import read_pictures
from app.openapi.bodies import PREDICT_BODY
from app.openapi.replies import PICTURE_REFUSALS, answered
from app.openapi.schemas import Prediction, Predictions

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
        return Reply.of(content, inference.classifier.model_id, inference.result.pass_rows)
