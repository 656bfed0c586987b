"""How far the last hour's pictures are from those that the served version was calibrated on.

What is counted of all workers is kept once a minute, in each of them; counts less those that are kept from an hour ago
are the hour's own, and are held against the reference of the version's manifest. So whichever worker is asked tells of
all, when it is asked, and nothing of the pictures themselves is kept.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from digits.artifact import Manifest, Reference
from digits.drift import EDGES, population_stability_index

WINDOW_SECONDS = 3600
"""How long a picture counts."""

KEEP_SECONDS = 60
"""Between the counts that are kept."""

LEAST_PICTURES = 500
"""Of fewer, pictures that are like the reference may be a tenth from it by chance; see docs/decisions/0013."""

_Counts = Mapping[str, NDArray[np.float64]]
"""Quantity to pictures in each bin."""


class Drift(Collector):
    """What is counted, and the drift beside it where the served version has a reference."""

    def __init__(
        self,
        counted: Collector,
        served: Callable[[], Manifest | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is kept yet.

        Args:
            counted: what all workers have counted.
            served: asked for the version that answers now.
            clock: in seconds.
        """
        self._counted = counted
        self._served = served
        self._clock = clock
        self._lock = threading.Lock()  # a scrape has a thread of its own
        self._of: Manifest | None = None
        self._kept: deque[tuple[float, _Counts]] = deque()

    async def keep_looking(self) -> None:
        """Collect once a minute, for the sake of what is kept by it."""
        while True:
            await asyncio.to_thread(self.collect)
            await asyncio.sleep(KEEP_SECONDS)

    def collect(self) -> Iterable[Metric]:
        """All of it."""
        counted = list(self._counted.collect())
        manifest = self._served()
        references = _references(manifest)
        if manifest is None or not references:
            return counted
        counts = _counts(counted)
        before = self._at_the_beginning(manifest, counts)
        shares = GaugeMetricFamily(
            "digits_reference_share",
            "Share of the calibration images of which it is at most so much.",
            labels=("of", "at_most"),
        )
        index = GaugeMetricFamily(
            "digits_drift_psi",
            "Population stability index of the last hour's pictures against the calibration images.",
            labels=("of",),
        )
        for quantity, reference in references.items():
            for edge, share in zip(reference.edges, np.cumsum(reference.shares), strict=False):
                shares.add_metric((quantity, str(edge)), round(float(share), 6))
            lately = counts[quantity] - before[quantity]
            if lately.sum() >= LEAST_PICTURES:
                index.add_metric((quantity,), population_stability_index(reference.shares, lately.tolist()))
        return [*counted, shares, index]

    def _at_the_beginning(self, manifest: Manifest, counts: _Counts) -> _Counts:
        """What the counts were when the window began: an hour ago, or when this version or this process was new."""
        with self._lock:
            now = self._clock()
            if manifest != self._of:
                self._of = manifest
                self._kept.clear()
            if not self._kept or now - self._kept[-1][0] >= KEEP_SECONDS:
                self._kept.append((now, counts))
            while now - self._kept[0][0] > WINDOW_SECONDS:
                self._kept.popleft()
            return self._kept[0][1]


def _references(manifest: Manifest | None) -> dict[str, Reference]:
    """Of each quantity that is counted in the reference's bins."""
    if manifest is None or manifest.calibration is None:
        return {}
    known = manifest.calibration.reference
    return {
        quantity: known[quantity]
        for quantity, edges in EDGES.items()
        if quantity in known and known[quantity].edges == edges and len(known[quantity].shares) == len(edges) + 1
    }


def _counts(counted: Iterable[Metric]) -> _Counts:
    families = {metric.name: metric.samples for metric in counted}
    found = {}
    for quantity in EDGES.keys() - {"digit"}:
        name = f"digits_{quantity}"
        up_to = sorted((float(s.labels["le"]), s.value) for s in families[name] if s.name == f"{name}_bucket")
        found[quantity] = np.diff([count for _, count in up_to], prepend=0.0)
    by_digit = {int(s.labels["digit"]): s.value for s in families["digits_predictions"]}
    found["digit"] = np.array([by_digit[digit] for digit in sorted(by_digit)])
    return found
