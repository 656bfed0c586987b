"""Drift: how much the last hour's pictures differ from the calibration images of the served version.

Only counts are stored, once a minute. Those of the last hour are the current counts minus the counts of an hour ago.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.telemetry.metrics import Metrics
from digits.model.artifact import Manifest, Reference
from digits.model.drift import edges_for, population_stability_index

WINDOW_SECONDS = 3600  # that drift is computed for
KEEP_SECONDS = 60  # between two stored counts
MIN_PICTURES = 500  # fewer may have an index of 0.1 by chance, without any drift (docs/decisions/0013)

_Counts = Mapping[str, NDArray[np.int64]]  # the number of pictures in each bin, by quantity


class Drift(Collector):
    """The service's metrics, with the drift if the served version has a reference."""

    def __init__(
        self, metrics: Metrics, served: Callable[[], Manifest | None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Add the drift of the version whose manifest `served` returns to `metrics`. `clock` returns seconds."""
        self._metrics = metrics
        self._served = served
        self._clock = clock
        self._lock = threading.Lock()  # each scrape runs in a thread
        self._manifest: Manifest | None = None
        self._history: deque[tuple[float, _Counts]] = deque()

    def collect(self) -> Iterable[Metric]:
        metrics = list(self._metrics.collect())
        manifest = self._served()
        if manifest is None or not (references := _references(manifest)):
            return metrics
        counts = self._metrics.counts_by_bin()
        before = self._counts_at_start_of_window(manifest, counts)
        shares = GaugeMetricFamily(
            "digits_reference_share",
            "Share of the calibration images whose value is at most this.",
            labels=("of", "at_most"),
        )
        index = GaugeMetricFamily(
            "digits_drift_psi",
            "Population stability index of the last hour's pictures, compared with the calibration images.",
            labels=("of",),
        )
        for quantity, reference in references.items():
            for edge, share in zip(reference.edges, np.cumsum(reference.shares), strict=False):
                shares.add_metric((quantity, str(edge)), round(float(share), 6))
            # The classes of other versions, above the number of this version's, are no part of the reference.
            last_hour = (counts[quantity] - before[quantity])[: len(reference.shares)]
            if last_hour.sum() >= MIN_PICTURES:
                index.add_metric((quantity,), population_stability_index(reference.shares, last_hour.tolist()))
        return [*metrics, shares, index]

    def _counts_at_start_of_window(self, manifest: Manifest, counts: _Counts) -> _Counts:
        """Return the counts of an hour ago, or those at the start of this version or this process if that is later."""
        with self._lock:
            now = self._clock()
            if manifest != self._manifest:
                self._manifest = manifest
                self._history.clear()
            if not self._history or now - self._history[-1][0] >= KEEP_SECONDS:
                self._history.append((now, counts))
            while now - self._history[0][0] > WINDOW_SECONDS:
                self._history.popleft()
            return self._history[0][1]


def _references(manifest: Manifest) -> dict[str, Reference]:
    """Return the reference of each quantity that the metrics count in the same bins."""
    if manifest.calibration is None:
        return {}
    references = manifest.calibration.reference
    return {
        quantity: references[quantity]
        for quantity, edges in edges_for(len(manifest.classes)).items()
        if quantity in references
        and references[quantity].edges == edges
        and len(references[quantity].shares) == len(edges) + 1
    }
