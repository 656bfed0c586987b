"""`digits serve` and `digits settings`: the commands that have an option for each setting of the service."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import HttpUrl

from app.settings import Settings
from cli.configuration import Configuration, configure

app = typer.Typer()

_EPILOG = (
    "Each option is also an environment variable, such as MNIST_PORT for --port, and a key of the TOML file, such as "
    "port. An option takes precedence over the variable, and the variable over the file."
)


def _option(name: str) -> Any:
    """Return the option for a setting. The service checks its value."""
    field = Settings.model_fields[name]
    default = "" if field.default in (None, ()) else f" Default: {str(field.default).lower()}."
    metavar = None if isinstance(field.default, bool) else "VALUE"
    return typer.Option(help=f"{field.description}".replace("`", "") + default, metavar=metavar)


@app.command(
    "settings",
    help="Print the settings that `digits serve` with the same options would use, as a TOML file without secrets.",
    epilog=_EPILOG,
)
@app.command(help="Start the service, with the page to draw on. Ctrl-C stops it.", epilog=_EPILOG)
def serve(  # noqa: PLR0917 - Typer turns parameters into options
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="TOML file with settings.")] = None,
    model_dir: Annotated[str | None, _option("model_dir")] = None,
    model_version: Annotated[str | None, _option("model_version")] = None,
    model_versions: Annotated[str | None, _option("model_versions")] = None,
    model_labels: Annotated[str | None, _option("model_labels")] = None,
    reload_seconds: Annotated[str | None, _option("reload_seconds")] = None,
    host: Annotated[str | None, _option("host")] = None,
    port: Annotated[str | None, _option("port")] = None,
    grpc_port: Annotated[str | None, _option("grpc_port")] = None,
    grpc_tls_cert: Annotated[str | None, _option("grpc_tls_cert")] = None,
    grpc_tls_key: Annotated[str | None, _option("grpc_tls_key")] = None,
    drain_seconds: Annotated[str | None, _option("drain_seconds")] = None,
    max_requests: Annotated[str | None, _option("max_requests")] = None,
    max_body_bytes: Annotated[str | None, _option("max_body_bytes")] = None,
    max_json_bytes: Annotated[str | None, _option("max_json_bytes")] = None,
    max_image_pixels: Annotated[str | None, _option("max_image_pixels")] = None,
    max_batch: Annotated[str | None, _option("max_batch")] = None,
    api_keys_file: Annotated[str | None, _option("api_keys_file")] = None,
    require_keys: Annotated[bool | None, _option("require_keys")] = None,
    cors_origins: Annotated[str | None, _option("cors_origins")] = None,
    docs: Annotated[bool | None, _option("docs")] = None,
    documentation_url: Annotated[str | None, _option("documentation_url")] = None,
    root_path: Annotated[str | None, _option("root_path")] = None,
    trusted_proxies: Annotated[str | None, _option("trusted_proxies")] = None,
    log_format: Annotated[str | None, _option("log_format")] = None,
    log_clients: Annotated[bool | None, _option("log_clients")] = None,
    traces_endpoint: Annotated[str | None, _option("traces_endpoint")] = None,
) -> None:
    options = {name: value for name, value in locals().items() if name in Settings.model_fields and value is not None}
    configuration = configure(options, config)
    if context.info_name == "settings":
        _print(configuration)
        return
    from app.start import start  # noqa: PLC0415 - takes 0.3 s, and `digits settings` does not need it

    raise typer.Exit(start(configuration.settings))


def _print(configuration: Configuration) -> None:
    for name in Settings.model_fields:
        value = getattr(configuration.settings, name)
        text = json.dumps(_shown(name, value), ensure_ascii=False)  # TOML has no surrogates
        line = f"# {name} is not set" if value in (None, "", ()) else f"{name} = {text}"
        source = configuration.sources.get(name, "default")
        if name == "model_dir" and source == "default":
            line = f"# {line}"  # a folder that is named must exist
        print(f"{line:<40}  # {source}")


def _shown(name: str, value: Any) -> Any:
    """Return a value as TOML has it, with secrets replaced."""
    if isinstance(value, HttpUrl):
        return str(value).replace(f":{value.password}@", ":hidden@") if value.password else str(value)
    if name == "model_labels":
        return [f"{label}={version}" for label, version in value]
    return str(value) if isinstance(value, Path) else value
