"""The service's Prometheus metrics.

The service records values after the replies are written, and adds them to the metrics ten times a second
(`app.main`). Adding them in each turn of the event loop took 5 % of a request's time.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, disable_created_metrics
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from app import errors
from app.telemetry.statistics import Statistics, Timing
from app.telemetry.stderr import STDERR
from digits.features import FEATURES, Floats
from digits.model.classes import DIGITS, MAX_CLASSES
from digits.model.classifier import Scores
from digits.model.drift import EDGES
from digits.normalization.doubts import DOUBTS

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)
_QUEUE_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1)
_REQUEST = ("protocol", "route", "status")
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128)

_MEAN = np.full(FEATURES, 1 / FEATURES, dtype=np.float32)
"""`features @ _MEAN` is the mean of each row, in a tenth of the time of `features.mean(axis=1)`."""

disable_created_metrics()  # they would double the number of series


class Histogram(Collector):
    """A histogram of one or several series, which adds many values at once.

    prometheus_client's own takes 1 us for each value, which would cost 64 clients 8 % of their throughput:

        python -m timeit -s "import prometheus_client as p; h = p.Histogram('a', '', registry=None)" "h.observe(1)"
    """

    def __init__(self, name: str, documentation: str, buckets: Sequence[float], labels: Sequence[str] = ()) -> None:
        """Start without values. `buckets` are upper bounds in ascending order, without infinity."""
        self._name, self._documentation, self._labels = name, documentation, labels
        self._bounds = np.array(buckets, dtype=np.float64)
        self._up_to = [*(str(float(bound)) for bound in buckets), "+Inf"]
        self._values: dict[tuple[str, ...], list[float]] = {}
        """The values of each series that `flush` has not added yet."""
        self._totals: dict[tuple[str, ...], tuple[NDArray[np.int64], float]] = {}
        """For each series, how many values each bucket has, (buckets + 1,), and their sum."""
        if not labels:
            self.values()

    def values(self, *labels: str) -> list[float]:
        """Return the list to which new values of a series are appended."""
        if labels not in self._values:
            self._values[labels] = []
            self._totals[labels] = np.zeros(len(self._up_to), np.int64), 0.0
        return self._values[labels]

    def flush(self) -> None:
        for labels, values in self._values.items():
            if values:
                counts, total = self._totals[labels]
                new_counts = np.bincount(np.searchsorted(self._bounds, values), minlength=len(counts))
                self._totals[labels] = counts + new_counts, total + float(np.sum(values))
                values.clear()

    def counts(self, *labels: str) -> NDArray[np.int64]:
        """Return how many values of a series each bucket has, (buckets + 1,), without those not flushed yet."""
        return self._totals[labels][0]

    def sum(self, *labels: str) -> float:
        return self._totals[labels][1]

    def collect(self) -> Iterable[Metric]:
        """Return the totals. A scrape calls this in a thread."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for labels, (counts, total) in list(self._totals.items()):
            family.add_metric(labels, list(zip(self._up_to, np.cumsum(counts).tolist(), strict=True)), total)
            if self._bounds[0] < 0:  # values may be negative, so that a sum would not be a counter
                family.add_sample(
                    f"{self._name}_count", dict(zip(self._labels, labels, strict=True)), int(counts.sum())
                )
        return [family]


def memory_limit_bytes(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the limit of the control group (version 2 or 1) in this folder, at most the machine's memory."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        # Without a limit, version 2 has "max", and version 1 a number that no machine reaches.
        with suppress(OSError, ValueError):
            limits.append(int((groups / name).read_text()))
    return min(limits)


class Metrics(Collector):
    """The metrics that this process records, and those of the process itself."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        counter, gauge = partial(Counter, registry=registry), partial(Gauge, registry=registry)
        self._histograms: list[Histogram] = []
        ProcessCollector(registry=registry)
        limit = "Memory limit of the container. Without one, the machine's memory."
        gauge("digits_memory_limit_bytes", limit).set(memory_limit_bytes())
        self._requests = self._histogram(
            "digits_request_seconds", "Seconds from the end of a request's head to its reply.", _SECONDS, *_REQUEST
        )
        self._in_progress = gauge("digits_requests_in_work", "Requests that are being answered.")
        self._pictures = self._histogram("digits_pass_pictures", "Pictures that share a forward pass.", _PICTURES)
        self._queue = self._histogram(
            "digits_queue_seconds", "Seconds that a request's pictures wait for their forward pass.", _QUEUE_SECONDS
        )
        self.statistics = Statistics()
        registry.register(self.statistics)
        self._predictions = counter("digits_predictions", "Predictions, by the index of the class.", ("digit",))
        self._probability = self._histogram(
            "digits_probability", "Probability of the predicted digit.", EDGES["probability"]
        )
        self._ink = self._histogram("digits_ink", "Mean of a picture's features: 0 is black, 1 is white.", EDGES["ink"])
        self._novelty = self._histogram(
            "digits_novelty",
            "How unlike a digit a picture is. Above 1 the service reports that it is not a digit.",
            EDGES["novelty"],
        )
        self._doubts = counter("digits_doubts", "Pictures with a reason to doubt the answer.", ("doubt",))
        refused = "Refused requests, and refused pictures of other requests."
        self.refusals = counter("digits_refusals", refused, ("reason", "status"))
        self.key_requests = counter(
            "digits_key_requests", "Requests with an API key, by the key's name.", ("key_name",)
        )
        self._dropped = counter("digits_log_lines_dropped", "Lines of the log that nobody read in time.")
        self.loads = counter("digits_model_loads", "Model versions that the service tried to load.", ("outcome",))
        """The outcome is `served`, which means loaded, or `refused`."""
        self._model = gauge(
            "digits_model_info", "1 for the model version that is served, else 0.", ("name", "version", "graph")
        )
        self._classes = gauge("digits_model_classes", "Number of classes of the served model, or 0 without one.")
        self._warnings = gauge("digits_warnings", "Warnings that /health has now.", ("about",))
        self._ready = gauge("digits_ready", "1 when the service is ready, else 0.")
        # Create these series at zero: rate() needs a value before the first count, and so do alerts.
        for digit in DIGITS:
            self._predictions.labels(digit)
        for doubt in DOUBTS:
            self._doubts.labels(doubt)
        for error, status in errors.STATUS.items():
            self.refusals.labels(errors.name(error), status)
        for route in ("/predict", "/read"):  # an autoscaler takes a missing series for a failure
            self._requests.values("http", route, "200")
        for outcome in ("served", "refused"):
            self.loads.labels(outcome)
        self._dropped_before = STDERR.dropped
        self._recorded_scores: defaultdict[int, list[Scores]] = defaultdict(list)
        """Those that `flush` has not added yet, by the number of classes."""
        self._by_class: NDArray[np.int64] = np.zeros(MAX_CLASSES, np.int64)
        """How often each class was predicted."""
        self._served: tuple[str, str, str] | None = None

    def _histogram(self, name: str, description: str, buckets: Sequence[float], *labels: str) -> Histogram:
        histogram = Histogram(name, description, buckets, labels)
        self._registry.register(histogram)
        self._histograms.append(histogram)
        return histogram

    def count_request(self, protocol: str, route: str | None, status: int, seconds: float) -> None:
        """Count a completed request. Its route is None for unknown paths. A gRPC call has a status of HTTP, too."""
        self._requests.values(protocol, route or "other", str(status)).append(seconds)

    def count_pass(self, version: int, pictures: int, waits: list[float], seconds: float) -> None:
        """Count a forward pass, the seconds that each request waited for it, and the seconds that it took."""
        self._pictures.values().append(pictures)
        self._queue.values().extend(waits)
        self.statistics.versions[version].count_pass(pictures, seconds)

    def count_inference(self, version: int, **parts: float) -> None:
        """Count an Open Inference Protocol request, with the seconds of each of its steps."""
        for part, seconds in parts.items():
            self.statistics.versions[version].parts[part].add(seconds)

    def count_predictions(self, features: Floats, scores: Scores) -> None:
        """Count the predictions for N pictures. Their features are (N, 784), in [0, 1]."""
        self._ink.values().extend((features @ _MEAN).tolist())
        self._recorded_scores[scores.probabilities.shape[1]].append(scores)

    def count_doubts(self, doubts: Iterable[Sequence[str]]) -> None:
        """Count the pictures that have each doubt. `doubts` are those of each picture."""
        for doubt in chain.from_iterable(map(set, doubts)):
            self._doubts.labels(doubt).inc()

    def set_state(self, *, in_progress: int, ready: bool, model: tuple[str, str, str] | None, classes: int) -> None:
        """Set the state gauges. `model` is the name, version and graph of the served model, with this many classes."""
        self._in_progress.set(in_progress)
        self._ready.set(ready)
        self._classes.set(classes)
        if model != self._served:
            for version, is_served in ((self._served, 0), (model, 1)):
                if version is not None:
                    self._model.labels(*version).set(is_served)
            self._served = model

    def watch_warnings(self, warnings: Callable[[], Mapping[str, list[str]]]) -> None:
        """Count the warnings that this function returns at each scrape, by what they are about."""
        for about in warnings():
            self._warnings.labels(about).set_function(lambda about=about: len(warnings()[about]))  # type: ignore[misc]

    def flush(self) -> None:
        """Add the recorded values to the metrics. Call this in the event loop, as everything that records values."""
        for probabilities, novelty in map(Scores.joined, self._recorded_scores.values()):
            counts = np.bincount(probabilities.argmax(axis=1), minlength=MAX_CLASSES)
            self._by_class = self._by_class + counts  # a new array, because the drift keeps earlier ones
            for index in np.flatnonzero(counts).tolist():
                self._predictions.labels(index).inc(int(counts[index]))
            self._probability.values().extend(probabilities.max(axis=1).tolist())
            if novelty is not None:
                self._novelty.values().extend(novelty.tolist())
        self._recorded_scores.clear()
        for histogram in self._histograms:
            histogram.flush()
        STDERR.flush()
        self._dropped.inc(STDERR.dropped - self._dropped_before)
        self._dropped_before = STDERR.dropped

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()

    def waits(self) -> Timing:
        """Return how many requests waited for a forward pass, and for how long."""
        self.flush()
        return Timing(int(self._queue.counts().sum()), self._queue.sum())

    def counts_by_bin(self) -> dict[str, NDArray[np.int64]]:
        """Return how many pictures each bin of each quantity in `EDGES` has. Of the classes, (MAX_CLASSES,)."""
        return {
            "digit": self._by_class,
            "probability": self._probability.counts(),
            "ink": self._ink.counts(),
            "novelty": self._novelty.counts(),
        }
