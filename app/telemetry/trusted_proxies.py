"""Tell the address of a client from what trusted proxies say, over HTTP and gRPC."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

Networks = list[IPv4Network | IPv6Network]

_WITH_PORT = re.compile(r"\A(?:\[(.*)\](?::\d+)?|([^:]*):\d+)\Z")
"""An address with a port, or an IPv6 address in brackets."""


def client_of(peer: str | None, headers: Iterable[tuple[bytes, bytes]], proxies: Networks) -> str | None:
    """Return the address of the client that sent a request. `peer` is the address of its connection.

    `proxies` are those that may name the client, in the header `X-Forwarded-For`. Each proxy appends the address that
    it was asked from. So the last address that is not a proxy's is the client's. The client may have made up the rest.
    """
    if not proxies or peer is None or not _is_in(proxies, peer):
        return peer
    forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
    for each in reversed(forwarded.split(",")):
        address = _WITH_PORT.sub(r"\1\2", each.strip())
        if not _is_in(proxies, address):
            break
    return address or peer


def _is_in(networks: Networks, address: str) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:  # such as the path of a socket
        return False
    # A server that listens on `::` sees an IPv4 address as ::ffff:10.0.0.1.
    ipv4 = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in network or ipv4 in network for network in networks)
