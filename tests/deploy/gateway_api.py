"""The fields of the Gateway API's kinds (version 1, standard channel) that the manifests use. Others are refused.

No Python package has these schemas. Source: https://gateway-api.sigs.k8s.io/reference/spec/
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=253)]
Hostname = Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Duration = Annotated[str, Field(pattern=r"^([0-9]{1,5}(h|m|s|ms)){1,4}$")]


class Fields(BaseModel):
    """Fields with exact types. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


class SecretReference(Fields):
    kind: Literal["Secret"]
    name: Name


class ListenerTls(Fields):
    mode: Literal["Terminate", "Passthrough"]
    certificate_refs: list[SecretReference]


class Listener(Fields):
    name: Name
    port: Port
    protocol: Literal["HTTP", "HTTPS", "TLS", "TCP", "UDP"]
    tls: ListenerTls | None = None


class GatewaySpec(Fields):
    gateway_class_name: Name
    listeners: Annotated[list[Listener], Field(min_length=1, max_length=64)]


class Parent(Fields):
    name: Name
    section_name: Name


class Backend(Fields):
    name: Name
    port: Port


class Redirect(Fields):
    scheme: Literal["http", "https"]
    status_code: Literal[301, 302, 303, 307, 308]


class Filter(Fields):
    type: Literal["RequestRedirect"]
    request_redirect: Redirect


class Timeouts(Fields):
    request: Duration


class GrpcRule(Fields):
    backend_refs: list[Backend] = []


class HttpRule(GrpcRule):
    filters: list[Filter] = []
    timeouts: Timeouts | None = None


class GrpcRouteSpec(Fields):
    parent_refs: list[Parent]
    hostnames: list[Hostname]
    rules: list[GrpcRule]


class HttpRouteSpec(Fields):
    parent_refs: list[Parent]
    hostnames: list[Hostname]
    rules: list[HttpRule]


SPECS: dict[str, type[Fields]] = {"Gateway": GatewaySpec, "HTTPRoute": HttpRouteSpec, "GRPCRoute": GrpcRouteSpec}


def check(manifest: dict[str, Any]) -> None:
    """Check a Gateway, HTTPRoute or GRPCRoute.

    Raises:
        ValueError: a field is unknown, a required field is missing, or a value has the wrong type.
    """
    if manifest["apiVersion"] != "gateway.networking.k8s.io/v1":
        raise ValueError(f"expected version v1, received {manifest['apiVersion']}")
    if unknown := manifest.keys() - {"apiVersion", "kind", "metadata", "spec"}:
        raise ValueError(f"expected apiVersion, kind, metadata and spec, received {', '.join(sorted(unknown))}")
    SPECS[manifest["kind"]].model_validate(manifest["spec"])
