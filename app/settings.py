"""The settings of the service, as one frozen object."""

import ipaddress
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, HttpUrl, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from digits.model.artifact import DEFAULT_ROOT, MAX_VERSION
from digits.pictures.decode import MAX_PIXELS

LogFormat = Literal["json", "text"]

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+")
_NO_WORKERS = "One process uses all cores. To run more processes, see docs/how-to/more-cores.md"
_ROOT_PATH = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")


def _origins(origins: str) -> tuple[str, ...]:
    each = tuple(origin.strip() for origin in origins.split(","))
    if each != ("*",) and not all(_ORIGIN.fullmatch(origin) for origin in each):
        raise ValueError(
            "expected * or comma-separated origins such as https://example.org, in lower case and without a path"
        )
    return each


def _networks(proxies: str) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(proxy.strip())) for proxy in proxies.split(","))
    except ValueError as exc:
        raise ValueError(f"expected comma-separated addresses or networks: {exc}") from exc


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
            raise ValueError("expected labels such as stable=1,canary=2, each only once")
        labels[label] = _version(version)
    return tuple(labels.items())


def _prefix(path: str) -> str:
    path = path.rstrip("/")
    if not _ROOT_PATH.fullmatch(path):
        raise ValueError("expected a path such as /digits")
    return path


def _from_text(read: Any) -> BeforeValidator:
    """Apply `read` to a text from the environment, but not to a default value."""
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


class Settings(BaseSettings):
    """The service's settings, read once from environment variables with the prefix `MNIST_`.

    `digits serve` has an option for each of them, and shows the text below a setting in its help (`cli/serve.py`).
    Nothing else in `app/` reads the environment, except `app.healthcheck`, a program without other imports.
    """

    model_config = SettingsConfigDict(
        env_prefix="MNIST_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    model_dir: Path = DEFAULT_ROOT
    """Folder with published models, or of one version. If unset and without models, the shipped model is served."""
    model_version: Annotated[int | None, Field(ge=1, le=MAX_VERSION)] = None
    """Serve only this version. If unset, the newest version is served."""
    model_versions: Annotated[tuple[int, ...], NoDecode, _from_text(_versions)] = ()
    """Versions to keep loaded in addition, for clients that name one."""
    model_labels: Annotated[tuple[tuple[str, int], ...], NoDecode, _from_text(_labels)] = ()
    """Names for versions that clients may use, such as `stable=1,canary=2`."""
    reload_seconds: Annotated[float, Field(ge=0.1, le=3600)] = 2
    """Seconds between two checks for new versions."""
    host: str = "127.0.0.1"
    """Address or host name to listen on. `0.0.0.0` means all addresses. A name means each of its addresses."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on. `0` picks a free port."""
    grpc_port: Annotated[int | None, Field(ge=0, le=65535)] = None
    """Port for gRPC. `0` picks a free port. If unset, gRPC is off. Needs the extra `grpc`."""
    grpc_tls_cert: Path | None = None
    """Certificate chain (PEM) for gRPC with TLS, together with its key."""
    grpc_tls_key: Path | None = None
    """Private key (PEM) of that certificate."""
    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 0
    """How long the service still answers after SIGTERM while it reports that it is not ready."""
    max_requests: PositiveInt = 1024
    """Maximum number of requests in progress per process. All others but probes get a 503."""
    max_body_bytes: PositiveInt = 16 * 1024 * 1024
    """Maximum size of a request body, in bytes."""
    max_json_bytes: PositiveInt = 8 * 1024 * 1024
    """Maximum size of JSON in a body, in bytes, without binary tensors."""
    max_image_pixels: Annotated[int, Field(ge=1, le=2 * MAX_PIXELS)] = MAX_PIXELS
    """Maximum number of pixels (width times height) that a picture may declare."""
    max_batch: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Maximum number of pictures in one request."""
    api_keys_file: Path | None = None
    """File with API keys, one `name:key` per line. When set, every path except probes and pages requires a key."""
    require_keys: bool = False
    """Whether the service refuses to start without keys."""
    cors_origins: Annotated[tuple[str, ...], NoDecode, _from_text(_origins)] = ()
    """Origins whose web pages may call the service, or `*` for all."""
    docs: bool = True
    """Whether the service offers `/docs` and `/openapi.json`, and gRPC reflection."""
    documentation_url: HttpUrl | None = None
    """Address of the documentation, to which the drawing page then has a link."""
    root_path: Annotated[str, _from_text(_prefix)] = ""
    """Path prefix under which a proxy publishes the service. It works whether or not the proxy strips the prefix."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode, _from_text(_networks)] = ()
    """Proxies that may name the client of a request, in the header `X-Forwarded-For`."""
    log_format: LogFormat | None = None
    """Format of the log, `json` or `text`. If unset, text on a terminal and JSON elsewhere."""
    log_clients: bool = True
    """Whether the log has the addresses of clients."""
    # Its URL may have a password. repr=False keeps it out of logs, and `read_settings` does not print it either.
    traces_endpoint: Annotated[HttpUrl | None, Field(repr=False)] = None
    """OpenTelemetry collector that receives a span for each request, by OTLP over HTTP. Needs the extra `tracing`."""


def read_settings(values: Mapping[str, Any] | None = None, sources: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of this process. `values`, by field, take precedence over the environment.

    `sources` name values in an error, by field, in place of their variables. Raises SystemExit if a value is invalid.
    """
    if os.environ.get("MNIST_API_KEYS"):  # other programs can see it, and ignoring it would let everyone in
        raise SystemExit(
            "digits: MNIST_API_KEYS is not a setting. Write each key into a file, as a line `name:key`, and name the "
            "file in MNIST_API_KEYS_FILE"
        )
    try:
        return Settings(**(values or {}))
    except ValidationError as exc:
        bad = exc.errors(include_url=False)[0]
        name = str(bad["loc"][0])
        received = f", received {bad['input']!r}" if Settings.model_fields[name].repr else ""
        source = (sources or {}).get(name, f"MNIST_{name.upper()}")
        raise SystemExit(f"digits: {source}: {bad['msg'].removeprefix('Value error, ')}{received}") from None


def valid_log_format() -> LogFormat | None:
    """Return the format that the environment names, also if another setting is invalid. None without a valid one."""
    named = os.environ.get("MNIST_LOG_FORMAT")
    return next((known for known in get_args(LogFormat) if known == named), None)


def warnings_about(settings: Settings) -> list[str]:
    """Return a line for each variable named MNIST_* that is no setting, for a lost model folder and a missing proxy."""
    known = {f"MNIST_{name.upper()}" for name in Settings.model_fields} | {"MNIST_DATA"}  # training reads it
    lines = []
    for name in sorted(os.environ):
        upper = name.upper()
        if upper.startswith("MNIST_") and upper not in known:
            (nearest,) = get_close_matches(upper, known, n=1, cutoff=0)
            hint = _NO_WORKERS if upper == "MNIST_WORKERS" else f"The nearest one is {nearest}"
            lines.append(f"{name} is not a setting and is ignored. {hint}")
    if "model_dir" in settings.model_fields_set and not settings.model_dir.exists():
        missing = f"MNIST_MODEL_DIR: {settings.model_dir} does not exist"
        lines.append(f"{missing}, so there is no model, and no request is answered")
    if not (settings.trusted_proxies or _is_loopback(settings.host)):
        open_to = f"MNIST_HOST={settings.host} lets other machines in, and MNIST_TRUSTED_PROXIES names no proxy"
        lines.append(f"{open_to}. Strangers must not reach the service without one: docs/how-to/proxy.md")
    return lines


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
