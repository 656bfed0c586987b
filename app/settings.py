"""Everything that can be set from outside, as one frozen object."""

import hashlib
import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, HttpUrl, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from digits.artifact import SHIPPED
from digits.images import MAX_PIXELS

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+")
_KEY = re.compile(r"[!-~]{16,}")
"""Printable ASCII without spaces, too many to guess."""
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")


def _digests(keys: str) -> tuple[bytes, ...]:
    each = keys.split(",")
    for number, key in enumerate(each, 1):
        if not _KEY.fullmatch(key):
            raise ValueError(
                "expected keys of at least 16 printable ASCII characters, parted by commas without spaces; "
                f"number {number} of {len(each)} is none"
            )
    return tuple(hashlib.sha256(key.encode()).digest() for key in each)


def _origins(origins: str) -> tuple[str, ...]:
    each = tuple(origin.strip() for origin in origins.split(","))
    if each != ("*",) and not all(_ORIGIN.fullmatch(origin) for origin in each):
        raise ValueError(
            "expected * or origins such as https://example.org, parted by commas, lower case, without path"
        )
    return each


def _networks(proxies: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(proxy.strip())) for proxy in proxies.split(","))
    except ValueError as exc:
        raise ValueError(f"expected addresses or networks, parted by commas: {exc}") from exc


def _version(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise ValueError(f"expected version numbers, received {text[:20]!r}")
    return int(text)


def _versions(text: str) -> tuple[int, ...]:
    return tuple(_version(version.strip()) for version in text.split(","))


def _labels(text: str) -> tuple[tuple[str, int], ...]:
    labels = {}
    for each in text.split(","):
        label, _, version = each.strip().partition("=")
        if not re.fullmatch("[a-z][a-z0-9_-]{0,39}", label) or label in labels:
            raise ValueError("expected labels such as stable=1,canary=2, each once")
        labels[label] = _version(version)
    return tuple(labels.items())


def _prefix(path: str) -> str:
    path = path.rstrip("/")
    if not _ROOT_PATH.fullmatch(path):
        raise ValueError("expected a path such as /digits")
    return path


def _from_text(read: Any) -> BeforeValidator:
    """`read` for what the environment says; a default is as it is."""
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


class Settings(BaseSettings):
    """Read once from the environment, prefix `MNIST_`; nothing else in `app/` reads it."""

    model_config = SettingsConfigDict(
        env_prefix="MNIST_", env_ignore_empty=True, frozen=True, extra="ignore", hide_input_in_errors=True
    )

    model_dir: Annotated[
        Path, Field(description="Where published versions lie; the shipped model is served while it holds none.")
    ] = SHIPPED
    model_version: Annotated[
        PositiveInt | None, Field(description="The only version to serve, whatever newer there is; unset, the newest.")
    ] = None
    model_versions: Annotated[
        tuple[int, ...],
        NoDecode,
        _from_text(_versions),
        Field(description="Versions that can be asked for by number, beside the served one."),
    ] = ()
    model_labels: Annotated[
        tuple[tuple[str, int], ...],
        NoDecode,
        _from_text(_labels),
        Field(description="Names for versions that can then be asked for, such as `stable=1,canary=2`."),
    ] = ()
    reload_seconds: Annotated[
        float, Field(ge=0.1, le=3600, description="How often a new version is looked for; it is then served.")
    ] = 2
    host: Annotated[str, Field(description="Address to listen on; `0.0.0.0` for all of them.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; `0` takes a free one.")] = 8000
    workers: Annotated[int, Field(ge=1, le=256, description="Server processes; one a core is the most that pays.")] = 1
    drain_seconds: Annotated[
        float, Field(ge=0, le=3600, description="How long requests are still served after SIGTERM, unready.")
    ] = 0
    max_requests: Annotated[PositiveInt, Field(description="Most requests in work at once, in one process.")] = 1024
    max_body_bytes: Annotated[PositiveInt, Field(description="Largest request body, in bytes.")] = 16 * 1024 * 1024
    max_json_bytes: Annotated[PositiveInt, Field(description="Largest JSON body, in bytes.")] = 8 * 1024 * 1024
    max_image_pixels: Annotated[
        int, Field(ge=1, le=2 * MAX_PIXELS, description="Most pixels (width times height) that a picture may declare.")
    ] = MAX_PIXELS
    max_batch: Annotated[PositiveInt, Field(description="Most pictures in one request.")] = 1024
    # What is not to be shown has repr=False: `read_settings` holds to it too.
    api_keys: Annotated[
        tuple[bytes, ...],
        NoDecode,
        _from_text(_digests),
        Field(repr=False, description="Keys of which a request must bring one; the sha256 of each is what is kept."),
    ] = ()
    metrics_open: Annotated[bool, Field(description="Whether `/metrics` is open although there are keys.")] = False
    cors_origins: Annotated[
        tuple[str, ...], NoDecode, _from_text(_origins), Field(description="Origins whose pages may ask; `*` for all.")
    ] = ()
    docs: Annotated[bool, Field(description="Whether there are `/docs` and `/openapi.json`.")] = True
    root_path: Annotated[
        str, _from_text(_prefix), Field(description="Path prefix that a proxy shows the service below.")
    ] = ""
    trusted_proxies: Annotated[
        tuple[str, ...], NoDecode, _from_text(_networks), Field(description="Who is believed on the client's address.")
    ] = ()
    traces_endpoint: Annotated[
        HttpUrl | None, Field(description="OpenTelemetry collector that is sent a span for each request, by OTLP/HTTP.")
    ] = None


def read_settings() -> Settings:
    """The settings of this process.

    Raises:
        SystemExit: a bad value, with one line that names the variable; it ends the start without a traceback.
    """
    try:
        return Settings()
    except ValidationError as exc:
        bad = exc.errors(include_url=False)[0]
        field = str(bad["loc"][0])
        message = bad["msg"].removeprefix("Value error, ")
        received = f", received {bad['input']!r}" if Settings.model_fields[field].repr else ""
        raise SystemExit(f"digits: MNIST_{field.upper()}: {message}{received}") from None
