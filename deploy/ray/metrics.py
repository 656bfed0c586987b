"""What the service counts, as metrics of Ray's: `/metrics` behind Serve's proxies tells of one replica only.

Ray's agent on each node exports them for Prometheus, with `ray_` before each name and a label for each process. All are
gauges there, for Ray's counters cannot be set; `rate` and `histogram_quantile` work on them as on others.
"""

import asyncio

from prometheus_client.registry import Collector
from ray.util.metrics import Gauge

_SECONDS = 5
"""Between two tellings; Ray's agents report every ten."""


async def keep_telling(metrics: Collector) -> None:
    """Tell Ray again and again what they say now."""
    gauges: dict[str, Gauge] = {}
    while True:
        # In a thread, as `/metrics` does it: hundreds of samples would hold up the event loop.
        await asyncio.to_thread(_tell, metrics, gauges)
        await asyncio.sleep(_SECONDS)


def _tell(metrics: Collector, gauges: dict[str, Gauge]) -> None:
    for family in metrics.collect():
        for sample in family.samples:
            if sample.name not in gauges:
                gauges[sample.name] = Gauge(sample.name, family.documentation, tuple(sample.labels))
            gauges[sample.name].set(sample.value, sample.labels)
