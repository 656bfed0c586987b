"""The request and the reply of the FastAPI peers, as pydantic models."""

from typing import Annotated

from pydantic import BaseModel, Field

Row = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=28, max_length=28)]


class Picture(BaseModel):
    """A request: one picture as 28 rows of 28 pixels."""

    pixels: Annotated[list[Row], Field(min_length=28, max_length=28)]


class Prediction(BaseModel):
    """The reply."""

    digit: int
    probability: float
    probabilities: list[float]
