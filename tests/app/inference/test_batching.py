"""Requests that wait together share one pass, and their results do not depend on it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import Overloaded
from app.inference.batching import MAX_WAITING_ROWS, PASS_ROWS, Batcher, Inference
from app.telemetry.metrics import Metrics
from digits.features import Floats, Grey, to_features
from digits.model.artifact import SHIPPED
from digits.model.classifier import Classifier, Scores
from tests.conftest import Mnist


class Watched(Classifier):
    """A classifier that records the number of pictures in each pass."""

    passes: list[int]

    def scores(self, features: Floats) -> Scores:
        self.passes = [*getattr(self, "passes", []), len(features)]
        return super().scores(features)


@pytest.fixture
def classifier() -> Watched:
    loaded = Watched.load(max((SHIPPED / "mnist-dense").iterdir()))
    loaded.passes = []  # without the self-test's pass
    return loaded


@pytest.fixture(scope="module")
def pictures(mnist: Mnist) -> Grey:
    return mnist.pixels[::5]


Run = Callable[[Callable[[Batcher], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture
def run(classifier: Watched) -> Run:
    return lambda scenario: asyncio.run(scenario(Batcher(lambda: classifier, Metrics())))


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_result_does_not_depend_on_the_other_requests_in_its_pass(
    run: Run, classifier: Watched, pictures: Grey, data: st.DataObject
) -> None:
    sizes = data.draw(st.lists(st.integers(1, 200), min_size=1, max_size=6), label="pictures of each request")
    as_floats = data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)), label="sent as floats")
    starts = data.draw(
        st.lists(st.integers(0, len(pictures) - 200), min_size=len(sizes), max_size=len(sizes)), label="which"
    )
    sent = [pictures[start : start + size] for start, size in zip(starts, sizes, strict=True)]

    async def together(batcher: Batcher) -> list[Inference]:
        return await asyncio.gather(
            *(
                batcher.classify(to_features(some).reshape(some.shape) if floats else some)
                for some, floats in zip(sent, as_floats, strict=True)
            )
        )

    answers = run(together)

    for some, answer in zip(sent, answers, strict=True):
        alone = np.concatenate([classifier.probabilities(to_features(one[None])) for one in some])
        np.testing.assert_allclose(answer.scores.probabilities, alone, atol=1e-6)
        assert [record["digit"] for record in answer.predictions] == alone.argmax(axis=1).tolist()


def test_a_large_request_lets_small_ones_go_first(run: Run, classifier: Watched, pictures: Grey) -> None:
    async def race(batcher: Batcher) -> list[str]:
        finished = []

        async def ask(name: str, some: Grey) -> None:
            await batcher.classify(some)
            finished.append(name)

        await asyncio.gather(ask("large", pictures), ask("small", pictures[:1]))
        return finished

    assert run(race) == ["small", "large"]
    assert max(classifier.passes) <= PASS_ROWS
    assert sum(classifier.passes) == len(pictures) + 1


def test_requests_beyond_the_queue_are_refused_and_the_others_answered(run: Run, pictures: Grey) -> None:
    requests = MAX_WAITING_ROWS // PASS_ROWS

    async def crowd(batcher: Batcher) -> list[Inference | BaseException]:
        async def ask() -> Inference:
            return await batcher.classify(pictures[:PASS_ROWS])

        return await asyncio.gather(*(ask() for _ in range(requests + 3)), return_exceptions=True)

    answers = run(crowd)

    assert [type(answer) for answer in answers] == [Inference] * requests + [Overloaded] * 3


def test_all_pictures_of_a_request_are_classified_by_one_version(pictures: Grey) -> None:
    folder = max((SHIPPED / "mnist-dense").iterdir())
    old, new = Watched.load(folder), Watched.load(folder)

    async def swapped() -> Inference:
        registry = [old]
        batcher = Batcher(lambda: registry[0], Metrics())
        large = asyncio.ensure_future(batcher.classify(pictures))
        while len(old.passes) < 3:  # the self-test's, and two of the request's
            await asyncio.sleep(0)
        registry[0] = new
        return await large

    answer = asyncio.run(swapped())

    assert answer.classifier is new
    assert sum(new.passes[1:]) >= len(pictures)
