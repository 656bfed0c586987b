"""What each model version did: its forward passes, and the steps of Open Inference Protocol requests."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(slots=True)
class Timing:
    """How often something was done, and how many seconds it took in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds


@dataclass(slots=True)
class VersionStatistics:
    passes: defaultdict[int, Timing] = field(default_factory=lambda: defaultdict(Timing))
    """Forward passes, by their number of pictures."""
    parts: defaultdict[str, Timing] = field(default_factory=lambda: defaultdict(Timing))
    """Steps of Open Inference Protocol requests, by name."""
    last_pass: float = 0.0
    """Unix time of the last forward pass, or 0 before the first."""

    def count_pass(self, pictures: int, seconds: float) -> None:
        self.passes[pictures].add(seconds)
        self.last_pass = time.time()


class Statistics(Collector):
    """The statistics of all versions, which are also metrics."""

    def __init__(self) -> None:
        self.versions: defaultdict[int, VersionStatistics] = defaultdict(VersionStatistics)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics. A scrape calls this in a thread, so that versions may be added meanwhile."""
        sizes, steps = ("version", "pictures"), ("version", "part")
        passes = CounterMetricFamily("digits_passes", "Forward passes.", labels=sizes)
        pass_seconds = CounterMetricFamily("digits_pass_seconds", "Seconds spent in forward passes.", labels=sizes)
        last_pass = GaugeMetricFamily(
            "digits_last_inference_timestamp_seconds",
            "Unix time of the version's last forward pass.",
            labels=["version"],
        )
        parts = CounterMetricFamily(
            "digits_inference_parts", "Steps of Open Inference Protocol requests.", labels=steps
        )
        part_seconds = CounterMetricFamily(
            "digits_inference_part_seconds", "Seconds spent in these steps.", labels=steps
        )
        for version, of_version in list(self.versions.items()):
            for pictures, timing in list(of_version.passes.items()):
                passes.add_metric((str(version), str(pictures)), timing.count)
                pass_seconds.add_metric((str(version), str(pictures)), timing.seconds)
            for part, timing in list(of_version.parts.items()):
                parts.add_metric((str(version), part), timing.count)
                part_seconds.add_metric((str(version), part), timing.seconds)
            if of_version.last_pass:
                last_pass.add_metric((str(version),), of_version.last_pass)
        return [passes, pass_seconds, last_pass, parts, part_seconds]
