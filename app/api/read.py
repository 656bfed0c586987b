"""`POST /read`: numbers of several digits."""

from typing import Annotated

from fastapi import Query

from app.api.predictions import extend
from app.api.query import ReadQuery
from app.asgi.route import Reply, ServiceRequest, direct_router
from app.input.pictures import PICTURE_TYPES, read_pictures
from app.openapi.bodies import READ_BODY
from app.openapi.replies import PICTURE_REFUSALS, answered
from app.openapi.schemas import Number, Numbers
from digits.numbers.read import set_accept

router = direct_router("Predict")


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
        pictures = await read_pictures(work, accepted=PICTURE_TYPES)
        read = await service.data_plane.read(pictures)
        if query.model_fields_set:
            await extend(service.data_plane, read.digits, query, read.numbers, work)
            for number in read.numbers:
                set_accept(number)  # another coverage gives other prediction sets
        content = read.numbers[0] if pictures.single else {"predictions": read.numbers}
        return Reply.of(content, read.digits.classifier.model_id, read.digits.result.pass_rows)
