"""Behind a trusted proxy, the service knows the client's own address."""

from ipaddress import ip_network

import pytest

from app.settings import Settings
from app.telemetry.trusted_proxies import client_of
from tests.app.conftest import cases

SEVERAL = "198.51.100.1, 203.0.113.7, 192.0.2.9"


@cases(
    ("trusted_proxies", "peer", "forwarded", "client"),
    {
        "no proxy is trusted": ("", "127.0.0.1", ["203.0.113.7"], "127.0.0.1"),
        "another proxy is trusted": ("10.0.0.0/8", "127.0.0.1", ["203.0.113.7"], "127.0.0.1"),
        "its address is trusted": ("127.0.0.1", "127.0.0.1", ["203.0.113.7, 127.0.0.1"], "203.0.113.7"),
        "its network is trusted": ("10.0.0.0/8,127.0.0.0/8", "127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        "no header": ("127.0.0.1", "127.0.0.1", [], "127.0.0.1"),
        "an empty header": ("127.0.0.1", "127.0.0.1", [""], "127.0.0.1"),
        "what the client made up": ("127.0.0.1,192.0.2.0/24", "127.0.0.1", [SEVERAL], "203.0.113.7"),
        "two headers": ("127.0.0.1", "127.0.0.1", ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        "only proxies": ("127.0.0.0/8", "127.0.0.1", ["127.0.0.3, 127.0.0.2"], "127.0.0.3"),
        "a port": ("127.0.0.1", "127.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        "IPv6": ("::1", "::1", ["2001:db8::1"], "2001:db8::1"),
        "IPv6 in brackets": ("::1", "::1", ["[2001:db8::1]"], "2001:db8::1"),
        "IPv6 with a port": ("::1", "::1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        "IPv4 on a socket of IPv6": ("10.0.0.0/8", "::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        "not an address": ("127.0.0.1", "127.0.0.1", ["unknown"], "unknown"),
        "a peer without an address": ("127.0.0.1", None, ["203.0.113.7"], None),
    },
)
def test_forwarded_addresses_are_believed_from_trusted_proxies_only(
    monkeypatch: pytest.MonkeyPatch, trusted_proxies: str, peer: str | None, forwarded: list[str], client: str | None
) -> None:
    monkeypatch.setenv("MNIST_TRUSTED_PROXIES", trusted_proxies)
    headers = [(b"host", b"digits"), *((b"x-forwarded-for", each.encode()) for each in forwarded)]

    seen = client_of(peer, headers, [ip_network(network) for network in Settings().trusted_proxies])

    assert seen == client
