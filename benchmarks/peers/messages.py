"""What the FastAPI peers take and answer, as pydantic models."""

from typing import Annotated

from pydantic import BaseModel, Field


class Picture(BaseModel):
    """One picture."""

    pixels: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=784, max_length=784)]


class Prediction(BaseModel):
    """The answer to it."""

    digit: int
    probability: float
    probabilities: list[float]
