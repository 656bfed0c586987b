"""Drift is told of the last hour's pictures against the served version's reference, and only where it can be."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.drift import KEEP_SECONDS, LEAST_PICTURES, WINDOW_SECONDS, Drift
from app.telemetry.metrics import Metrics
from digits import drift
from digits.artifact import Manifest
from digits.drift import EDGES
from digits.features import CLASSES
from tests.conftest import publish_tiny, publish_trusted


class Watched:
    """A process that counts pictures, the clock of its window, and what it tells."""

    def __init__(self, manifest: Manifest | None, metrics: Metrics | None = None) -> None:
        self.manifest = manifest
        self.metrics = metrics or Metrics()
        self.now = 1000.0
        self.drift = Drift(self.metrics, lambda: self.manifest, clock=lambda: self.now)
        self.told()

    def told(self) -> dict[str, dict[tuple[str, ...], float]]:
        """By name of a metric and values of its labels."""
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(generate_latest(self.drift).decode()):
            for sample in family.samples:
                labels = dict(sorted(sample.labels.items(), reverse=True))
                found.setdefault(sample.name, {})[tuple(labels.values())] = sample.value
        return found

    def index(self) -> dict[str, float]:
        """The population stability index of each quantity that has one."""
        return {of: value for (of,), value in self.told().get("digits_drift_psi", {}).items()}

    def asked(self, count: int, *, alike: bool = True, novelty: bool = True) -> None:
        """Predictions that are spread over all bins as the reference is, or are all in the first."""
        middles = {
            quantity: [edges[0] - 0.001, *(np.add(edges[1:], edges[:-1]) / 2), edges[-1] + 0.000001]
            for quantity, edges in EDGES.items()
        }
        bins = np.arange(count) % CLASSES * alike
        probabilities = np.zeros((count, CLASSES), dtype=np.float32)
        probabilities[np.arange(count), bins] = np.array(middles["probability"])[bins]
        ink, novelties = (np.array(middles[of], dtype=np.float32)[bins] for of in ("ink", "novelty"))
        self.metrics.count_predictions(bins.tolist(), probabilities, ink, novelties if novelty else None)
        self.metrics.flush()

    def pass_time(self, seconds: float) -> None:
        """Collecting as often as a service does."""
        end = self.now + seconds
        while self.now < end:
            self.now += min(KEEP_SECONDS, end - self.now)
            self.told()


@pytest.fixture
def trusted(tmp_path: Path) -> Manifest:
    """Of a version whose reference has as much in each bin."""
    return publish_trusted(tmp_path / "models").manifest


def test_the_reference_is_told_as_the_histograms_are(trusted: Manifest) -> None:
    watched = Watched(trusted)

    told = watched.told()

    shares = told["digits_reference_share"]
    assert {of for of, _ in shares} == EDGES.keys()
    for quantity in ("probability", "ink", "novelty"):
        edges = [at_most for of, at_most in shares if of == quantity]
        assert [(edge,) for edge in [*edges, "+Inf"]] == list(told[f"digits_{quantity}_bucket"])
        assert [shares[quantity, edge] for edge in edges] == pytest.approx(np.arange(0.1, 1, 0.1))


def test_there_is_no_index_of_few_pictures(trusted: Manifest) -> None:
    watched = Watched(trusted)

    watched.asked(LEAST_PICTURES - 1)
    of_few = watched.index()
    watched.asked(1)
    of_enough = watched.index()

    assert of_few == {}
    assert of_enough.keys() == EDGES.keys()


def test_the_index_is_small_of_pictures_like_the_reference_and_rises_with_others(trusted: Manifest) -> None:
    watched = Watched(trusted)

    watched.asked(1000)
    alike = watched.index()
    watched.asked(1000, alike=False)
    others = watched.index()

    assert alike == dict.fromkeys(EDGES, pytest.approx(0, abs=0.01))
    assert min(others.values()) > 0.25


def test_the_index_is_of_what_is_counted_in_the_references_bins(trusted: Manifest) -> None:
    watched = Watched(trusted)
    rng = np.random.default_rng(0)
    features = rng.beta(1, 6, (600, 784)).astype(np.float32) * rng.uniform(0, 2, (600, 1)).astype(np.float32)
    probabilities = rng.dirichlet(np.full(CLASSES, 0.05), 600).astype(np.float32)
    novelty = rng.normal(0.3, 0.4, 600).astype(np.float32)

    watched.metrics.count_predictions(
        probabilities.argmax(axis=1).tolist(), probabilities, features.mean(axis=1, dtype=np.float32), novelty
    )
    watched.metrics.flush()
    told = watched.index()

    expected = {}
    for quantity, values in drift.quantities(features, probabilities, novelty).items():
        counts = np.multiply(drift.reference(values, EDGES[quantity]).shares, 600)
        expected[quantity] = drift.population_stability_index([0.1] * 10, counts.tolist())
    assert told == pytest.approx(expected)


def test_pictures_count_for_an_hour(trusted: Manifest) -> None:
    watched = Watched(trusted)
    watched.pass_time(600)
    watched.asked(1000, alike=False)

    watched.pass_time(WINDOW_SECONDS - KEEP_SECONDS)
    within = watched.index()
    watched.pass_time(2 * KEEP_SECONDS)
    watched.asked(1000)
    later = watched.index()

    assert min(within.values()) > 0.25
    assert max(later.values()) < 0.1


def test_a_pause_of_hours_ends_the_window(trusted: Manifest) -> None:
    watched = Watched(trusted)
    watched.asked(1000, alike=False)

    watched.now += 3 * WINDOW_SECONDS
    after = watched.index()
    watched.asked(1000)

    assert after == {}
    assert max(watched.index().values()) < 0.1


def test_no_more_is_kept_than_the_window_needs(trusted: Manifest) -> None:
    watched = Watched(trusted)

    for _ in range(3 * WINDOW_SECONDS // 15):
        watched.now += 15
        watched.told()

    assert len(watched.drift._history) <= WINDOW_SECONDS // KEEP_SECONDS + 1


def test_a_worker_that_has_just_started_tells_what_it_has_seen(trusted: Manifest) -> None:
    first = Watched(trusted)
    first.asked(1000, alike=False)
    second = Watched(trusted, first.metrics)

    at_first = second.index()
    first.asked(1000)

    assert at_first == {}
    assert max(second.index().values()) < 0.1
    assert min(first.index().values()) > 0.25


def test_another_version_starts_anew(trusted: Manifest, tmp_path: Path) -> None:
    watched = Watched(trusted)
    watched.asked(1000, alike=False)
    watched.pass_time(600)

    watched.manifest = publish_trusted(tmp_path / "models", 1).manifest
    at_first = watched.index()
    watched.asked(1000)
    later = watched.index()

    assert at_first == {}
    assert max(later.values()) < 0.1


def test_a_version_without_novelty_has_no_index_of_it(trusted: Manifest) -> None:
    watched = Watched(trusted)

    watched.asked(1000, novelty=False)

    assert watched.index().keys() == EDGES.keys() - {"novelty"}


def with_other_edges(manifest: Manifest) -> Manifest:
    assert manifest.calibration is not None
    reference = dict(manifest.calibration.reference)
    for quantity in ("ink", "novelty"):
        edges = tuple(edge + 1 for edge in EDGES[quantity])
        reference[quantity] = reference[quantity].model_copy(update={"edges": edges})
    calibration = manifest.calibration.model_copy(update={"reference": reference})
    return manifest.model_copy(update={"calibration": calibration})


@pytest.mark.parametrize(
    ("served", "quantities"),
    [
        pytest.param(lambda _trusted, _root: None, set(), id="no version at all"),
        pytest.param(lambda _trusted, root: publish_tiny(root).manifest, set(), id="no calibration"),
        pytest.param(
            lambda trusted, _root: with_other_edges(trusted), {"digit", "probability"}, id="other bins of some"
        ),
    ],
)
def test_what_has_no_reference_in_our_bins_is_counted_and_no_more(
    trusted: Manifest, tmp_path: Path, served: Callable[[Manifest, Path], Manifest | None], quantities: set[str]
) -> None:
    watched = Watched(served(trusted, tmp_path))

    watched.asked(1000)
    told = watched.told()

    assert {of for of, _ in told.get("digits_reference_share", {})} == quantities
    assert watched.index().keys() == quantities
    assert told["digits_ink_count"] == {(): 1000}
