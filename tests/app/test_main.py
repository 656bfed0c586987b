"""The parts that `create_app` ties together."""

import asyncio
from typing import Any

import pytest

from app import main


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_job_that_fails_is_logged_and_done_again(monkeypatch: pytest.MonkeyPatch, in_thread: bool) -> None:
    logged: list[Any] = []
    done: list[int] = []
    monkeypatch.setattr(main._log, "exception", lambda *line: logged.append(line))

    def job() -> None:
        done.append(len(done))
        if len(done) == 1:
            raise MemoryError

    async def run() -> None:
        task = asyncio.ensure_future(main.every(0.001, job, in_thread=in_thread))
        while len(done) < 3:
            await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(asyncio.wait_for(run(), 10))

    assert logged == [("%s failed", job.__qualname__)]
