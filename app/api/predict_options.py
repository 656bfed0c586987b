"""Parse the query parameters of `POST /predict`."""

from typing import Annotated, Literal
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema

from app.errors import InvalidQuery
from digits.mnist_form import Mode
from digits.prediction_sets import DEFAULT_COVERAGE


class Options(BaseModel):
    """The query parameters. An unknown name is an error, so that a misspelt parameter is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    normalize: Annotated[
        Mode,
        Field(
            description="`auto`: bring the picture to MNIST form, unless it is a 28x28 picture in that form already. "
            "`always`: bring every picture to MNIST form. `never`: use the picture unchanged. It must be 28x28 and may "
            "be blank."
        ),
    ] = "auto"
    include: Annotated[
        Literal["pixels", "saliency", "pixels,saliency", "saliency,pixels"] | SkipJsonSchema[None],
        Field(
            description="`pixels`: add the 28x28 pixels that the network saw. `saliency`: add how much each of these "
            "pixels supports the predicted digit. Not every version provides it."
        ),
    ] = None
    coverage: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | SkipJsonSchema[None],
        Field(
            description="The minimum frequency with which `prediction_set` contains the true digit. It must be one of "
            f"the coverages that the version is calibrated for. The default is {DEFAULT_COVERAGE}.",
        ),
    ] = None
    per_class: Annotated[
        bool,
        Field(description="Whether the coverage holds for each digit separately, instead of for all digits together."),
    ] = False

    def includes(self, name: str) -> bool:
        """Return whether the reply also contains `pixels` or `saliency`."""
        return self.include is not None and name in self.include


DEFAULTS = Options()

_MAX_QUERY_BYTES = 1000


def read_options(query_string: bytes) -> Options:
    """Parse a query string. Raises InvalidQuery."""
    if len(query_string) > _MAX_QUERY_BYTES:
        raise InvalidQuery(f"expected a query of at most {_MAX_QUERY_BYTES} bytes, received {len(query_string)}")
    try:
        return Options.model_validate(dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)))
    except ValidationError as exc:
        first = exc.errors()[0]
        raise InvalidQuery(f"query parameter {str(first['loc'][0])[:40]!r}: {first['msg']}") from exc
