"""The service's Prometheus metrics.

The service records values after the replies are written, and adds them to the metrics ten times a second
(`app.inference.data_plane`). Adding them in each turn of the event loop took 5 % of a request's time.
"""

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from app import errors
from app.telemetry import processes
from app.telemetry.shared_metrics import AllWorkers, is_shared
from digits.features import CLASSES
from digits.model.drift import EDGES

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)
_QUEUE_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1)
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128)


disable_created_metrics()  # they would double the number of series


class BatchedHistogram:
    """One series of a prometheus_client histogram, to which `flush` adds many values at once.

    A prediction has five values. `Histogram.observe` takes 1 us for each of them in memory, and 3 us in the files that
    workers share. Plain calls would cost 8 % of the throughput of 64 clients with one worker, and 17 % with two:

        python -m timeit -s "import prometheus_client as p; h = p.Histogram('a', '', registry=None)" "h.observe(1)"
    """

    def __init__(self, series: Histogram) -> None:
        """Collect values for `series`, which must not need labels any more."""
        self._series = series
        self._values: list[float] = []

    def observe(self, value: float) -> None:
        """Remember one value."""
        self._values.append(value)

    def observe_all(self, values: Sequence[float]) -> None:
        """Remember several values."""
        self._values += values

    def flush(self) -> None:
        """Add the remembered values to the series."""
        if not self._values:
            return
        values = np.array(self._values)
        self._values.clear()
        # prometheus_client has no public call that adds several values. A test compares this with its `observe`.
        self._series._sum.inc(float(values.sum()))
        buckets, counts = np.unique(np.searchsorted(self._series._upper_bounds, values), return_counts=True)
        for bucket, count in zip(buckets.tolist(), counts.tolist(), strict=True):
            self._series._buckets[bucket].inc(count)


class Metrics(Collector):
    """The metrics that this process records. `collect` returns those of all workers."""

    def __init__(self) -> None:
        """Start at zero."""
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "digits_request_seconds",
            "Seconds from the end of a request's head to its reply.",
            ("protocol", "route", "status"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._in_progress = self._gauge("digits_requests_in_work", "Requests that are being answered.", "livesum")
        self._pictures = self._histogram("digits_pass_pictures", "Pictures that share a forward pass.", _PICTURES)
        self._queue = self._histogram(
            "digits_queue_seconds", "Seconds that a request's pictures wait for their forward pass.", _QUEUE_SECONDS
        )
        passes = self._counter("digits_passes", "Forward passes.", "version", "pictures")
        pass_seconds = self._counter("digits_pass_seconds", "Seconds spent in forward passes.", "version", "pictures")
        last_pass = self._gauge(
            "digits_last_inference_timestamp_seconds", "Unix time of the version's last forward pass.", "max", "version"
        )
        self._parts = self._counter(
            "digits_inference_parts", "Steps of Open Inference Protocol requests.", "version", "part"
        )
        self._part_seconds = self._counter(
            "digits_inference_part_seconds", "Seconds spent in these steps.", "version", "part"
        )
        predictions = self._counter("digits_predictions", "Predictions, by the index of the class.", "digit")
        self._probability = self._histogram(
            "digits_probability", "Probability of the predicted digit.", EDGES["probability"]
        )
        self._ink = self._histogram("digits_ink", "Mean of a picture's features: 0 is black, 1 is white.", EDGES["ink"])
        self._novelty = self._histogram(
            "digits_novelty",
            "How unlike a digit a picture is. Above 1 the service reports that it is not a digit.",
            EDGES["novelty"],
        )
        self._refusals = self._counter("digits_refusals", "Requests that were refused.", "reason")
        self._keys = self._counter("digits_key_requests", "Requests with an API key, by the key's name.", "key_name")
        self._loads = self._counter("digits_model_loads", "Model versions that the service tried to load.", "outcome")
        self._model = self._gauge(
            "digits_model_info", "Processes that serve the model version.", "livesum", "name", "version", "graph"
        )
        self._ready = self._gauge("digits_ready", "1 when every process is ready, else 0.", "livemin")
        # `labels` takes 1 us to find a series, a cache 0.1 us.
        self._passes = cache(passes.labels)
        self._pass_seconds = cache(pass_seconds.labels)
        self._last_pass = cache(last_pass.labels)
        # Create these series at zero: rate() needs a value before the first count, and so do alerts.
        self._by_digit = cache(predictions.labels)
        for digit in range(CLASSES):
            self._by_digit(digit)
        for error in errors.STATUS:
            self._refusals.labels(errors.name(error))
        for outcome in ("served", "refused"):
            self._loads.labels(outcome)
        self._by_route: dict[tuple[str, str, int], BatchedHistogram] = {}
        self._digits: list[int] = []
        self._key_names: list[str] = []
        self._served: tuple[str, str, str] | None = None

    def _counter(self, name: str, description: str, *labels: str) -> Counter:
        return Counter(name, description, labels, registry=self._registry)

    def _gauge(self, name: str, description: str, merge: str, *labels: str) -> Gauge:
        """Return a gauge. `merge` is the mode in which prometheus_client merges the values of several workers."""
        return Gauge(name, description, labels, multiprocess_mode=merge, registry=self._registry)  # type: ignore[arg-type]

    def _histogram(self, name: str, description: str, buckets: Sequence[float]) -> BatchedHistogram:
        return BatchedHistogram(Histogram(name, description, buckets=buckets, registry=self._registry))

    def count_request(self, protocol: str, route: str | None, status: int, seconds: float) -> None:
        """Count a completed request.

        Args:
            protocol: "http" or "grpc".
            route: the pattern of its route, or None for unknown paths.
            status: the HTTP status. A gRPC call has the status that the same request over HTTP has.
            seconds: duration.
        """
        labels = (protocol, route or "other", status)
        series = self._by_route.get(labels)
        if series is None:
            series = self._by_route[labels] = BatchedHistogram(self._requests.labels(*labels))
        series.observe(seconds)

    def count_pass(self, version: int, pictures: int, waits: list[float], seconds: float) -> None:
        """Count a forward pass.

        Args:
            version: the model version.
            pictures: number of pictures in the pass.
            waits: seconds that each request in the pass waited for it.
            seconds: duration of the pass.
        """
        self._pictures.observe(pictures)
        self._queue.observe_all(waits)
        self._passes(version, pictures).inc()
        self._pass_seconds(version, pictures).inc(seconds)
        self._last_pass(version).set_to_current_time()

    def count_inference(self, version: int, **parts: float) -> None:
        """Count an Open Inference Protocol request, with the seconds of each of its steps."""
        for part, seconds in parts.items():
            self._parts.labels(version, part).inc()
            self._part_seconds.labels(version, part).inc(seconds)

    def count_predictions(
        self, digits: list[int], probabilities: list[float], ink: list[float], novelty: list[float] | None
    ) -> None:
        """Count N predictions.

        Args:
            digits: indices of predicted classes, each below 100.
            probabilities: the probability of each predicted class.
            ink: mean feature of each picture, in [0, 1].
            novelty: novelty score of each picture, or None for a model without one.
        """
        self._digits += digits
        self._probability.observe_all(probabilities)
        self._ink.observe_all(ink)
        if novelty is not None:
            self._novelty.observe_all(novelty)

    def count_refusal(self, reason: str) -> None:
        """Count a refused request by the name of its error."""
        self._refusals.labels(reason).inc()

    def count_key(self, name: str) -> None:
        """Count a request with the API key of this name."""
        self._key_names.append(name)

    def count_load(self, outcome: str) -> None:
        """Count an attempt to load a model version. The outcome is `served`, which means loaded, or `refused`."""
        self._loads.labels(outcome).inc()

    def set_state(self, *, in_progress: int, ready: bool, model: tuple[str, str, str] | None) -> None:
        """Set the state gauges: requests in work, readiness, and name, version and graph of the served model."""
        self._in_progress.set(in_progress)
        self._ready.set(ready)
        if model != self._served:
            for served, processes in ((self._served, 0), (model, 1)):
                if served is not None:
                    self._model.labels(*served).set(processes)
            self._served = model

    def flush(self) -> None:
        """Add the recorded values to the metrics. Call this in the event loop, as everything that records values."""
        for series in self._by_route.values():
            series.flush()
        for histogram in (self._pictures, self._queue, self._probability, self._ink, self._novelty):
            histogram.flush()
        for digit in set(self._digits):
            self._by_digit(digit).inc(self._digits.count(digit))
        self._digits.clear()
        for name in set(self._key_names):
            self._keys.labels(name).inc(self._key_names.count(name))
        self._key_names.clear()

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of all workers, and those of their processes."""
        recorded = (AllWorkers() if is_shared() else self._registry).collect()
        return [*recorded, *processes.metrics(with_siblings=is_shared())]

    def samples(self, *names: str) -> list[Sample]:
        """Return the samples of the metrics with these names, summed over all workers.

        A sample's name has the suffix of its kind: `digits_passes_total`, `digits_queue_seconds_count`.
        """
        self.flush()
        return [sample for metric in self.collect() if metric.name in names for sample in metric.samples]
