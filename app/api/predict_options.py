"""Parse the query parameters of `POST /predict` and `POST /read`."""

from typing import Annotated, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import SkipJsonSchema

from app.errors import InvalidQuery
from digits.mnist_form import Mode
from digits.prediction_sets import DEFAULT_COVERAGE


class TrustOptions(BaseModel):
    """The query parameters of both. An unknown name is an error, so that a misspelt parameter is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    include: str | None = None
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


class Options(TrustOptions):
    """The query parameters of `POST /predict`."""

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


class ReadOptions(TrustOptions):
    """The query parameters of `POST /read`."""

    include: Annotated[
        Literal["pixels"] | SkipJsonSchema[None],
        Field(description="`pixels`: add the 28x28 pixels of each digit that the network saw."),
    ] = None


DEFAULTS, READ_DEFAULTS = Options(), ReadOptions()

_MAX_QUERY_BYTES = 1000

_OptionsT = TypeVar("_OptionsT", bound=TrustOptions)


def read_options(query_string: bytes) -> Options:
    """Parse the query string of `POST /predict`. Raises InvalidQuery."""
    return _validated(Options, _parameters(query_string))


def read_number_options(query_string: bytes) -> ReadOptions:
    """Parse the query string of `POST /read`. Raises InvalidQuery."""
    parameters = _parameters(query_string)
    if "normalize" in parameters:
        raise InvalidQuery("query parameter 'normalize': expected none, because /read normalizes every digit")
    if "saliency" in parameters.get("include", ""):
        raise InvalidQuery("query parameter 'include': expected no saliency, which only /predict explains digits with")
    return _validated(ReadOptions, parameters)


def _parameters(query_string: bytes) -> dict[str, str]:
    if len(query_string) > _MAX_QUERY_BYTES:
        raise InvalidQuery(f"expected a query of at most {_MAX_QUERY_BYTES} bytes, received {len(query_string)}")
    return dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))


def _validated(model: type[_OptionsT], parameters: dict[str, str]) -> _OptionsT:
    try:
        return model.model_validate(parameters)
    except ValidationError as exc:
        first = exc.errors()[0]
        raise InvalidQuery(f"query parameter {str(first['loc'][0])[:40]!r}: {first['msg']}") from exc
