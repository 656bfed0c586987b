"""A client behind a proxy cannot hide a request in the body of another, where its reply would go to somebody else."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from tests.app.conftest import StartService
from tests.conftest import needs
from tests.deploy.proxy.edge import HOST, RAW, edge
from tests.load import SEVEN

HIDDEN = b"GET /nothing HTTP/1.1\r\nHost: x\r\nX-Request-ID: hidden\r\n\r\n"

SMALL_WINDOW = """
import app.__main__
import app.start
listen = app.start.listen
SO_RCVBUF = 8  # inherited by the connections
app.start.listen = lambda *given: [each for each in listen(*given) if not each.setsockopt(1, SO_RCVBUF, 4096)]
raise SystemExit(app.__main__.main())
"""
"""A service that gets a long head in several parts, as from a slow network."""


def test_nobody_gets_the_reply_to_a_request_in_a_body(start_service: StartService, tmp_path: Path) -> None:
    needs("openssl")
    needs("nginx")
    service = start_service([sys.executable, "-c", SMALL_WINDOW], MNIST_LOG_FORMAT="json").wait_until_ready()
    upgrade = RAW | {"Host": HOST, "Connection": "Upgrade", "Upgrade": "h2c", "X-Long": "a" * 40_000}

    with (
        edge("forwarding nginx", tmp_path, [service.port], limited=False) as proxy,
        closing(proxy.connect("127.0.8.1")) as attacker,
        closing(proxy.connect("127.0.8.2")) as victim,
        ThreadPoolExecutor(1) as beside,
    ):

        def attack() -> int:
            attacker.request("POST", "/predict", HIDDEN, upgrade)
            reply = attacker.getresponse()
            reply.read()
            return reply.status

        def ask() -> bytes:
            victim.request("POST", "/predict", SEVEN, RAW | {"Host": HOST})
            return victim.getresponse().read()

        statuses, replies = set(), []
        for _ in range(200):
            attacked = beside.submit(attack)
            replies.append(ask())
            statuses.add(attacked.result())

    assert [reply for reply in replies if json.loads(reply).get("digit") != 7] == []
    assert statuses == {422}  # the body is no picture
    assert '"hidden"' not in service.log.read_text()
