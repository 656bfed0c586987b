"""The query parameters of `POST /predict` and `POST /read`."""

from itertools import permutations
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from app.errors import InvalidQuery
from digits.normalization.mnist_form import Mode


def _any_of(*names: str) -> tuple[str, ...]:
    """Return all texts of one or several of the names, in any order, with commas between them."""
    return tuple(",".join(each) for count in range(len(names)) for each in permutations(names, count + 1))


class TrustQuery(BaseModel):
    """The query parameters of both. An unknown name is an error, so that a misspelt parameter is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    include: str | None = None
    coverage: Annotated[float, Field(gt=0, lt=1)] | SkipJsonSchema[None] = None
    """The coverage of `prediction_set`: 0.99 by default. The shipped model also has 0.9, 0.95 and 0.999. `accept`
    follows the set."""
    per_class: bool = False
    """Whether the coverage holds for each digit separately, instead of for all digits together. Available up to
    0.99."""


class PredictQuery(TrustQuery):
    """The query parameters of `POST /predict`."""

    normalize: Mode = "auto"
    """`auto`, the default: bring the picture to MNIST form, unless it is a 28x28 picture in that form already.
    `always`: bring every picture to MNIST form. `never`: use the picture unchanged. It must be 28x28 and may be
    blank."""
    include: Literal[_any_of("pixels", "ink", "saliency")] | SkipJsonSchema[None] = None  # type: ignore[valid-type]
    """`pixels`, `ink`, `saliency`, or some of them with commas between them: adds these fields to the reply. `pixels`
    of one picture also adds its `ink`. Not every version provides `saliency`."""


class ReadQuery(TrustQuery):
    """The query parameters of `POST /read`."""

    include: Literal[_any_of("pixels", "ink")] | SkipJsonSchema[None] = None  # type: ignore[valid-type]
    """`pixels`: add the 28x28 pixels of each digit that the network saw. `ink`: add the ink of each picture. `pixels`
    of one picture also adds its `ink`."""

    @model_validator(mode="before")
    @classmethod
    def explain_what_only_predict_has(cls, parameters: dict[str, str]) -> dict[str, str]:
        """Raise InvalidQuery for what `POST /predict` accepts and this endpoint does not."""
        if "normalize" in parameters:
            raise InvalidQuery("query parameter 'normalize': expected none, because /read normalizes every digit")
        if "saliency" in parameters.get("include", ""):
            raise InvalidQuery("query parameter 'include': expected no saliency, which only /predict offers")
        return parameters
