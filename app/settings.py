"""Everything that can be set from outside, as one frozen object."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from digits.artifact import SHIPPED
from digits.images import MAX_PIXELS


class Settings(BaseSettings):
    """Read once from the environment, prefix `MNIST_`; nothing else in `app/` reads it."""

    model_config = SettingsConfigDict(env_prefix="MNIST_", env_ignore_empty=True, frozen=True, extra="ignore")

    model_dir: Annotated[
        Path, Field(description="Where published versions lie; the shipped model is served while it holds none.")
    ] = SHIPPED
    model_version: Annotated[
        PositiveInt | None, Field(description="The only version to serve, whatever newer there is; unset, the newest.")
    ] = None
    reload_seconds: Annotated[
        float, Field(ge=0.1, le=3600, description="How often a new version is looked for; it is then served.")
    ] = 2
    host: Annotated[str, Field(description="Address to listen on; `0.0.0.0` for all of them.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; `0` takes a free one.")] = 8000
    workers: Annotated[int, Field(ge=1, le=256, description="Server processes; one a core is the most that pays.")] = 1
    max_body_bytes: Annotated[PositiveInt, Field(description="Largest request body, in bytes.")] = 16 * 1024 * 1024
    max_image_pixels: Annotated[
        int, Field(ge=1, le=2 * MAX_PIXELS, description="Most pixels (width times height) that a picture may declare.")
    ] = MAX_PIXELS
    max_batch: Annotated[PositiveInt, Field(description="Most pictures in one request.")] = 1024


def read_settings() -> Settings:
    """The settings of this process.

    Raises:
        SystemExit: a bad value, with one line that names the variable; it ends the start without a traceback.
    """
    try:
        return Settings()
    except ValidationError as exc:
        bad = exc.errors(include_url=False)[0]
        name = f"MNIST_{'_'.join(str(part) for part in bad['loc'])}".upper()
        raise SystemExit(f"digits: {name}: {bad['msg']}, received {bad['input']!r}") from None
