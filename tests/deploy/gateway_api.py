"""The published fields of the Gateway API's kinds (version 1, standard channel), as far as the manifests use them.

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
    group: str = ""
    kind: str = "Secret"
    name: Name
    namespace: Name | None = None


class ListenerTls(Fields):
    mode: Literal["Terminate", "Passthrough"] = "Terminate"
    certificate_refs: list[SecretReference] = []


class Listener(Fields):
    name: Name
    hostname: Hostname | None = None
    port: Port
    protocol: Literal["HTTP", "HTTPS", "TLS", "TCP", "UDP"]
    tls: ListenerTls | None = None


class GatewaySpec(Fields):
    gateway_class_name: Name
    listeners: Annotated[list[Listener], Field(min_length=1, max_length=64)]


class Parent(Fields):
    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    name: Name
    namespace: Name | None = None
    section_name: Name | None = None
    port: Port | None = None


class Backend(Fields):
    group: str = ""
    kind: str = "Service"
    name: Name
    namespace: Name | None = None
    port: Port
    weight: int = 1


class Redirect(Fields):
    scheme: Literal["http", "https"] | None = None
    hostname: Hostname | None = None
    port: Port | None = None
    status_code: Literal[301, 302, 303, 307, 308] = 302


class Filter(Fields):
    type: Literal["RequestRedirect"]
    request_redirect: Redirect


class Timeouts(Fields):
    request: Duration | None = None
    backend_request: Duration | None = None


class GrpcRule(Fields):
    name: Name | None = None
    backend_refs: list[Backend] = []


class HttpRule(GrpcRule):
    filters: list[Filter] = []
    timeouts: Timeouts | None = None


class HttpRouteSpec(Fields):
    parent_refs: list[Parent]
    hostnames: list[Hostname] = []
    rules: list[HttpRule]


class GrpcRouteSpec(Fields):
    parent_refs: list[Parent]
    hostnames: list[Hostname] = []
    rules: list[GrpcRule]


SPECS: dict[str, type[Fields]] = {"Gateway": GatewaySpec, "HTTPRoute": HttpRouteSpec, "GRPCRoute": GrpcRouteSpec}


def check(manifest: dict[str, Any]) -> None:
    """Check the specification of a Gateway, HTTPRoute or GRPCRoute.

    Raises:
        ValueError: a field is unknown, a required field is missing, or a value has the wrong type.
    """
    if manifest["apiVersion"] != "gateway.networking.k8s.io/v1":
        raise ValueError(f"expected version v1, received {manifest['apiVersion']}")
    if unknown := manifest.keys() - {"apiVersion", "kind", "metadata", "spec"}:
        raise ValueError(f"expected apiVersion, kind, metadata and spec, received {', '.join(sorted(unknown))}")
    SPECS[manifest["kind"]].model_validate(manifest["spec"])
