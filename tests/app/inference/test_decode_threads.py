"""Long jobs run in threads, and only a limited number may wait."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import Overloaded
from app.inference import decode_threads
from app.inference.decode_threads import MAX_LARGE_SIZE, SMALL_SIZE, DecodePool, DecodeThreads
from app.inference.memory_budget import MemoryBudget


def run_while_busy(scenario: Callable[[DecodePool, threading.Event], Any]) -> Any:
    """Run a scenario with a decode thread that is busy until the event is set."""

    async def whole() -> Any:
        thread, release = DecodePool("test", 1), threading.Event()
        busy = asyncio.ensure_future(thread.run(release.wait, 10))
        await asyncio.sleep(0.05)
        try:
            return await scenario(thread, release)
        finally:
            release.set()
            await busy

    return asyncio.run(whole())


def test_a_cancelled_job_never_starts() -> None:
    done: list[str] = []

    async def leave(thread: DecodePool, release: threading.Event) -> None:
        gone = asyncio.ensure_future(thread.run(done.append, "gone"))
        stays = asyncio.ensure_future(thread.run(done.append, "stays"))
        await asyncio.sleep(0.05)
        gone.cancel()
        await asyncio.wait([gone])
        release.set()
        await stays

    run_while_busy(leave)

    assert done == ["stays"]


def test_jobs_beyond_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_threads, "MAX_WAITING_JOBS", 3)

    async def crowd(thread: DecodePool, release: threading.Event) -> list[Any]:
        waiting = [asyncio.ensure_future(thread.run(int)) for _ in range(4)]
        await asyncio.sleep(0.05)
        release.set()
        return await asyncio.gather(*waiting, return_exceptions=True)

    answers = run_while_busy(crowd)

    assert [type(answer) for answer in answers] == [int, int, Overloaded, Overloaded]


def test_a_small_picture_does_not_wait_for_large_ones_and_readings() -> None:
    async def race() -> str:
        threads, release = DecodeThreads(MemoryBudget(1)), threading.Event()
        large = [threads.run(SMALL_SIZE + 1, release.wait, 10) for _ in range(9)]
        readings = [threads.read(SMALL_SIZE, release.wait, 10) for _ in range(9)]
        others = asyncio.gather(*large, *readings)
        await asyncio.sleep(0.05)
        small = await asyncio.wait_for(threads.run(SMALL_SIZE, str, "small"), 5)
        release.set()
        await others
        return small

    assert asyncio.run(race()) == "small"


@pytest.mark.parametrize(
    ("size", "at_once"),
    [(SMALL_SIZE, 2), (MAX_LARGE_SIZE // 2, 2), (MAX_LARGE_SIZE // 2 + 1, 1), (4 * MAX_LARGE_SIZE, 1)],
    ids=["small", "large", "too large together", "too large even alone"],
)
def test_two_jobs_run_at_once_unless_they_are_too_large_together(
    size: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode_threads, "CORES", 2)
    busy: list[int] = []
    most = 0
    lock = threading.Lock()

    def job() -> None:
        nonlocal most
        with lock:
            busy.append(1)
            most = max(most, len(busy))
        time.sleep(0.05)
        with lock:
            busy.pop()

    async def all_at_once() -> None:
        threads = DecodeThreads(MemoryBudget(1))
        await asyncio.gather(*(threads.run(size, job) for _ in range(4)))

    asyncio.run(all_at_once())

    assert most == at_once
