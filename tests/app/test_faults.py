"""What goes wrong around the service costs those who ask meanwhile as little as can be, and leaves nothing behind."""

import sys

import psutil

from app.openapi.example_pictures import EXAMPLES
from benchmarks.faults.injection import idle, kill
from benchmarks.faults.mix import usual
from benchmarks.faults.soak import GROWTH_MB, soak
from benchmarks.harness.own_service import own_service, wait_until
from benchmarks.harness.traffic import Request, send
from tests.app.conftest import Service, StartService


def test_a_worker_that_is_killed_takes_only_what_it_had_in_hand_and_is_replaced() -> None:
    result = kill(2)

    assert result.acceptable, result
    assert result.sent - result.lost > 50


def test_idle_connections_keep_nobody_from_an_answer() -> None:
    result = idle(1, number=2000)

    assert result.acceptable, result
    assert result.sent > 50


TELLING_ITS_TASKS = """
import asyncio
import app.main
from app.__main__ import main
from starlette.responses import JSONResponse
from starlette.routing import Route

create_app = app.main.create_app

def telling(*settings):
    made = create_app(*settings)

    async def tasks(request):
        return JSONResponse(len(asyncio.all_tasks()))

    made.app.routes.append(Route("/tasks", tasks))
    return made

app.main.create_app = telling
main()
"""


def test_who_goes_away_in_the_middle_of_a_body_leaves_nothing_behind(start_service: StartService) -> None:
    service = start_service([sys.executable, "-c", TELLING_ITS_TASKS]).wait_until_ready()
    # Of the memory for bodies, 64 MB, each of these takes a part: hundreds would take all of it.
    part = Request("part", b"\0" * 500_000, "image/jpeg", content_length=1_000_000, leaves=True)
    tasks_before = tasks(service)
    photo = (EXAMPLES / "photo.jpg").read_bytes()  # loads what only pictures need
    assert service.client.post("/predict", content=photo, headers={"content-type": "image/jpeg"}).status_code == 200
    go_away(service, part, 50)
    before = resident_mb(service)

    go_away(service, part, 500)

    wait_until(lambda: tasks(service) <= tasks_before, "no task is left")
    assert resident_mb(service) < before + GROWTH_MB
    long = service.client.post("/predict", content=b"\0" * 1_000_000, headers={"content-type": "image/jpeg"})
    assert long.status_code == 422  # 503 while there is no memory for it


def test_mixed_load_is_answered_as_it_should_be_in_the_same_memory() -> None:
    with own_service() as server:
        soaked = soak(server, seconds=20)

    assert soaked.failures == []
    assert {count.kind for count in soaked.counts} >= {request.kind for request in usual()}


def go_away(service: Service, part: Request, times: int) -> None:
    for _ in range(times):
        send(service.port, part)
    wait_until(lambda: connections(service) <= 1, "all but the test's own connection are closed")


def tasks(service: Service) -> int:
    number: int = service.client.get("/tasks").json()
    return number


def connections(service: Service) -> int:
    process = psutil.Process(service.process.pid)
    return sum(bool(connection.raddr) for connection in process.net_connections("tcp"))


def resident_mb(service: Service) -> float:
    return psutil.Process(service.process.pid).memory_info().rss / 1e6
