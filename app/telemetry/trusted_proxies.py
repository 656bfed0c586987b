"""Tell the address of a client from what trusted proxies say, over HTTP and gRPC."""

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network

_WITH_PORT = re.compile(r"\[(.*)\](?::\d+)?|([^:]*):\d+")
"""An address with a port, or an IPv6 address in brackets."""


class TrustedProxies:
    """The proxies that may name the client of a request, in the header `X-Forwarded-For`."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(network) for network in networks]

    def client_of(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the address of the client that sent a request. `peer` is the address of its connection.

        Each proxy appends the address that it was asked from. So the last address that is not a proxy's is the
        client's. The client may have made up what precedes it.
        """
        if not self._networks or peer is None or not self._trusts(peer):
            return peer
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
        for each in reversed(forwarded.split(",")):
            address = _without_port(each.strip())
            if not self._trusts(address):
                break
        return address or peer

    def _trusts(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:  # such as the path of a socket
            return False
        # A server that listens on `::` sees an IPv4 address as ::ffff:10.0.0.1.
        ipv4 = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network or ipv4 in network for network in self._networks)


def _without_port(address: str) -> str:
    found = _WITH_PORT.fullmatch(address)
    return (found[1] or found[2]) if found else address
