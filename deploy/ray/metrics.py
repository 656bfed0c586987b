"""Report the service's metrics to Ray, because `/metrics` behind Serve's proxies describes a single replica.

Ray's agent on each node exports them for Prometheus, with `ray_` before each name and a label for each process. All of
them are gauges, because Ray's counters cannot be set. `rate` and `histogram_quantile` accept gauges too.
"""

import asyncio

from prometheus_client.registry import Collector
from ray.util.metrics import Gauge

_PERIOD_SECONDS = 5
"""Time between two reports. Ray's agents export every ten seconds."""


async def report_forever(metrics: Collector) -> None:
    """Report the current values to Ray every five seconds."""
    gauges: dict[str, Gauge] = {}
    while True:
        # A thread, because hundreds of samples would block the event loop.
        await asyncio.to_thread(_report, metrics, gauges)
        await asyncio.sleep(_PERIOD_SECONDS)


def _report(metrics: Collector, gauges: dict[str, Gauge]) -> None:
    for family in metrics.collect():
        for sample in family.samples:
            if sample.name not in gauges:
                gauges[sample.name] = Gauge(sample.name, family.documentation, tuple(sample.labels))
            gauges[sample.name].set(sample.value, sample.labels)
