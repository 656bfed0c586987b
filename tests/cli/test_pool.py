"""However many pictures there are, only a few are in memory."""

from collections.abc import Iterator
from concurrent.futures import Future

from cli.batch.pool import chunks, in_order
from cli.batch.worker import Scored


def test_a_million_pictures_are_listed_only_as_far_as_they_are_needed() -> None:
    listed = 0
    yielded = 0
    most_ahead = 0

    def names() -> Iterator[str]:
        nonlocal listed
        for number in range(1_000_000):
            listed += 1
            yield str(number)

    def submit(chunk: list[str]) -> Future[Scored]:
        nonlocal most_ahead
        most_ahead = max(most_ahead, listed - yielded)
        future: Future[Scored] = Future()
        future.set_result(Scored(b"", len(chunk), []))
        return future

    for scored in in_order(submit, chunks(names(), 32), 8):
        yielded += scored.pictures

    assert yielded == 1_000_000
    assert most_ahead == 8 * 32


def test_results_keep_the_order_of_the_chunks_even_if_a_later_one_is_done_first() -> None:
    futures: list[Future[Scored]] = []

    def submit(chunk: list[str]) -> Future[Scored]:
        future: Future[Scored] = Future()
        futures.append(future)
        if len(futures) == 3:
            for number in (2, 1, 0):
                futures[number].set_result(Scored(str(number).encode(), 1, []))
        return future

    lines = [scored.lines for scored in in_order(submit, chunks("abc", 1), 3)]

    assert lines == [b"0", b"1", b"2"]
