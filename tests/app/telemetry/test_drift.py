"""Drift compares the last hour's pictures with the served version's reference, if it has one."""

from pathlib import Path

import numpy as np
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.telemetry.drift import KEEP_SECONDS, MIN_PICTURES, WINDOW_SECONDS, Drift
from app.telemetry.metrics import Metrics
from digits.features import CLASSES, FEATURES
from digits.model.artifact import Manifest
from digits.model.classifier import Scores
from digits.model.drift import EDGES
from tests.conftest import publish_tiny, publish_trusted


class Process:
    """A process that counts pictures, with a clock that the test sets."""

    def __init__(self, manifest: Manifest | None, metrics: Metrics | None = None) -> None:
        self.manifest = manifest
        self.metrics = metrics or Metrics()
        self.now = 1000.0
        self.drift = Drift(self.metrics, lambda: self.manifest, clock=lambda: self.now)
        self.samples()

    def samples(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Return the metrics' values by name and values of the labels."""
        values: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(generate_latest(self.drift).decode()):
            for sample in family.samples:
                labels = dict(sorted(sample.labels.items(), reverse=True))
                values.setdefault(sample.name, {})[tuple(labels.values())] = sample.value
        return values

    def index(self) -> dict[str, float]:
        """Return the population stability index of each quantity that has one."""
        return {of: value for (of,), value in self.samples().get("digits_drift_psi", {}).items()}

    def predict(self, count: int, *, alike: bool = True) -> None:
        """Count predictions that are spread over all bins like the reference, or are all in the first bin."""
        middles = {
            quantity: [edges[0] - 0.001, *(np.add(edges[1:], edges[:-1]) / 2), edges[-1] + 0.000001]
            for quantity, edges in EDGES.items()
        }
        bins = np.arange(count) % CLASSES * alike
        probabilities = np.zeros((count, CLASSES), dtype=np.float32)
        probabilities[np.arange(count), bins] = np.array(middles["probability"])[bins]
        ink, novelties = (np.array(middles[of], dtype=np.float32)[bins] for of in ("ink", "novelty"))
        self.metrics.count_predictions(np.repeat(ink[:, None], FEATURES, axis=1), Scores(probabilities, novelties))
        self.metrics.flush()

    def pass_time(self, seconds: float) -> None:
        """Advance the clock and collect as often as a service does."""
        end = self.now + seconds
        while self.now < end:
            self.now += min(KEEP_SECONDS, end - self.now)
            self.drift.collect()


@pytest.fixture
def trusted(tmp_path: Path) -> Manifest:
    """The manifest of a version whose reference has the same share in each bin."""
    return publish_trusted(tmp_path / "models").manifest


def test_the_reference_has_the_bins_of_the_histograms(trusted: Manifest) -> None:
    process = Process(trusted)

    samples = process.samples()

    shares = samples["digits_reference_share"]
    assert {of for of, _ in shares} == EDGES.keys()
    for quantity in ("probability", "ink", "novelty"):
        edges = [at_most for of, at_most in shares if of == quantity]
        assert [(edge,) for edge in [*edges, "+Inf"]] == list(samples[f"digits_{quantity}_bucket"])
        assert [shares[quantity, edge] for edge in edges] == pytest.approx(np.arange(0.1, 1, 0.1))


def test_the_index_of_enough_pictures_tells_those_like_the_reference_from_others(trusted: Manifest) -> None:
    process = Process(trusted)

    process.predict(MIN_PICTURES - 1)
    of_few = process.index()
    process.predict(1000)
    alike = process.index()
    process.predict(1000, alike=False)
    others = process.index()

    assert of_few == {}
    assert alike == dict.fromkeys(EDGES, pytest.approx(0, abs=0.01))
    assert min(others.values()) > 0.25


def test_pictures_count_for_an_hour(trusted: Manifest) -> None:
    process = Process(trusted)
    process.pass_time(600)
    process.predict(1000, alike=False)

    process.pass_time(WINDOW_SECONDS - KEEP_SECONDS)
    within = process.index()
    process.pass_time(2 * KEEP_SECONDS)
    process.predict(1000)
    later = process.index()

    process.now += 3 * WINDOW_SECONDS  # a pause
    after_a_pause = process.index()

    assert min(within.values()) > 0.25
    assert max(later.values()) < 0.1
    assert after_a_pause == {}


def test_without_a_reference_there_is_no_drift(tmp_path: Path) -> None:
    process = Process(publish_tiny(tmp_path).manifest)

    process.predict(1000)

    assert process.index() == {}
    assert process.samples()["digits_ink_count"] == {(): 1000}
