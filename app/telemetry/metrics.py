"""What the service counts, for Prometheus.

Requests and passes are noted as they end, and counted together at the end of a turn of the event loop, when their
replies have gone out: sixteen together take 2 us each; for itself, each would take 5 to 9. With several workers the
counts lie in files that all of them share, so that any of them can be asked (prometheus_client's multiprocess mode).
"""

import os
import shutil
import tempfile
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from app import errors
from digits.drift import EDGES
from digits.features import CLASSES, Floats

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that prometheus_client reads when it is imported."""

_PREFIX = "digits-metrics-"

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)
_QUEUE_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 1)
_PICTURES = (1, 2, 4, 8, 16, 32, 64, 128)


disable_created_metrics()  # a second series for each


class _Histogram(Histogram):
    """With an `observe` for many."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        if len(amounts) == 1:  # of a lone request, a quarter of a microsecond sooner
            self._sum.inc(amounts[0])
            self._buckets[bisect_left(self._upper_bounds, amounts[0])].inc(1)
            return
        self._sum.inc(sum(amounts))
        counts: dict[int, int] = {}  # not a Counter, which takes a microsecond to be made
        for amount in amounts:
            bucket = bisect_left(self._upper_bounds, amount)
            counts[bucket] = counts.get(bucket, 0) + 1
        for bucket, count in counts.items():
            self._buckets[bucket].inc(count)


class Metrics(Collector):
    """Those of one process."""

    LAST = "digits_last_inference_timestamp_seconds"

    def __init__(self) -> None:
        """All zero."""
        self._registry = registry = CollectorRegistry()
        self._requests = _Histogram(
            "digits_request_seconds",
            "From a request's head to its reply.",
            ("route", "status"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._in_work = Gauge(
            "digits_requests_in_work",
            "Requests that are being answered.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._pictures = _Histogram(
            "digits_pass_pictures", "Pictures that share a forward pass.", buckets=_PICTURES, registry=registry
        )
        self._queue = _Histogram(
            "digits_queue_seconds", "What pictures wait for their pass.", buckets=_QUEUE_SECONDS, registry=registry
        )
        self._passes_of = Counter(
            "digits_passes", "Forward passes, by version and pictures.", ("version", "pictures"), registry=registry
        )
        self._pass_seconds = Counter(
            "digits_pass_seconds", "What they took.", ("version", "pictures"), registry=registry
        )
        self._last = Gauge(
            self.LAST,
            "When the version was asked last.",
            ("version",),
            multiprocess_mode="max",
            registry=registry,
        )
        self._parts_of = Counter(
            "digits_inference_parts",
            "Parts of the way of inferences by the Open Inference Protocol.",
            ("version", "part"),
            registry=registry,
        )
        self._part_seconds = Counter(
            "digits_inference_part_seconds", "What they took.", ("version", "part"), registry=registry
        )
        self._predictions = Counter("digits_predictions", "Predictions.", ("digit",), registry=registry)
        self._probability = _Histogram(
            "digits_probability",
            "Probability of the digit that was predicted.",
            buckets=EDGES["probability"],
            registry=registry,
        )
        self._ink = _Histogram(
            "digits_ink", "Mean of the features: 0 is black, 1 white.", buckets=EDGES["ink"], registry=registry
        )
        self._novelty = _Histogram(
            "digits_novelty",
            "How unlike a digit a picture is; above 1 it is taken for none.",
            buckets=EDGES["novelty"],
            registry=registry,
        )
        self._refusals = Counter("digits_refusals", "Requests that were refused.", ("reason",), registry=registry)
        self._loads = Counter("digits_model_loads", "Versions that were looked at.", ("outcome",), registry=registry)
        self._model = Gauge(
            "digits_model_info",
            "Processes that serve the version.",
            ("name", "version"),
            multiprocess_mode="livesum",
            registry=registry,
        )
        self._ready = Gauge(
            "digits_ready", "Whether every process is ready.", multiprocess_mode="livemin", registry=registry
        )
        # At zero from the start: what appears with its first count has no rate yet, and an alert would not see it.
        # And kept here: `labels` looks them up, in a microsecond.
        self._by_digit = [self._predictions.labels(digit) for digit in range(CLASSES)]
        self._by_route: dict[tuple[str, int], _Histogram] = {}
        for error in errors.STATUS:
            self._refusals.labels(errors.name(error))
        for outcome in ("served", "refused"):
            self._loads.labels(outcome)
        self._ended: dict[tuple[str, int], list[float]] = defaultdict(list)
        self._passes: list[int] = []
        self._waits: list[float] = []
        # By version and pictures, by version and part: how many, and how many seconds.
        self._by_size: dict[tuple[int, Any], list[float]] = {}
        self._by_part: dict[tuple[int, Any], list[float]] = {}
        self._sizes: dict[tuple[int, Any], tuple[Counter, Counter]] = {}
        self._lasts: dict[int, Gauge] = {}
        self._parts: dict[tuple[int, Any], tuple[Counter, Counter]] = {}
        self._digits: list[int] = []
        self._probabilities: list[float] = []
        self._inks: list[float] = []
        self._novelties: list[float] = []
        self._served: tuple[str, str] | None = None

    def ended(self, route: str | None, status: int, seconds: float) -> None:
        """Note a request: its route's pattern (None where there is none), HTTP status, and how long it took."""
        self._ended[route or "other", status].append(seconds)

    def passed(self, version: int, pictures: int, waits: list[float], seconds: float) -> None:
        """Note a forward pass: whose, of how many pictures, how long each request's had waited, and what it took."""
        self._passes.append(pictures)
        self._waits += waits
        _add(self._by_size, (version, pictures), 1, seconds)

    def inferred(self, version: int, **parts: float) -> None:
        """Note an inference by the Open Inference Protocol: what parts of its way took, in seconds."""
        for part, seconds in parts.items():
            _add(self._by_part, (version, part), 1, seconds)

    def predicted(self, digits: list[int], probabilities: Floats, ink: Floats, novelty: Floats | None) -> None:
        """Note predictions that are replied: N digits, probabilities (N, 10), ink and novelty (N,), as of a pass."""
        self._digits += digits
        if len(digits) == 1:  # as a rule, and four times as fast
            self._probabilities.append(probabilities.item(digits[0]))
            self._inks.append(ink.item())
            if novelty is not None:
                self._novelties.append(novelty.item())
            return
        self._probabilities += [float(row[digit]) for row, digit in zip(probabilities, digits, strict=True)]
        self._inks += ink.tolist()
        if novelty is not None:
            self._novelties += novelty.tolist()

    def refused(self, reason: str) -> None:
        """Count a refusal, by the error's name."""
        self._refusals.labels(reason).inc()

    def loaded(self, outcome: str) -> None:
        """Count a version that was looked at: `served` or `refused`."""
        self._loads.labels(outcome).inc()

    def state(self, *, in_work: int, ready: bool, model: tuple[str, str] | None) -> None:
        """What is the case now: requests in work, readiness, name and version of the served model."""
        self._in_work.set(in_work)
        self._ready.set(ready)
        if model != self._served:
            for served, processes in ((self._served, 0), (model, 1)):
                if served is not None:
                    self._model.labels(*served).set(processes)
            self._served = model

    def count(self) -> None:
        """Count what was noted."""
        for ended, seconds in self._ended.items():
            histogram = self._by_route.get(ended)
            if histogram is None:
                histogram = self._by_route[ended] = self._requests.labels(*ended)
            histogram.observe_all(seconds)
        for histogram, amounts in (
            (self._pictures, self._passes),
            (self._queue, self._waits),
            (self._probability, self._probabilities),
            (self._ink, self._inks),
            (self._novelty, self._novelties),
        ):
            if amounts:
                histogram.observe_all(amounts)
                amounts.clear()
        if self._by_size:
            for version, _ in self._by_size:
                if version not in self._lasts:
                    self._lasts[version] = self._last.labels(version)
                self._lasts[version].set_to_current_time()
            _count(self._by_size, self._sizes, self._passes_of, self._pass_seconds)
        _count(self._by_part, self._parts, self._parts_of, self._part_seconds)
        for digit in set(self._digits):
            self._by_digit[digit].inc(self._digits.count(digit))
        self._ended.clear()
        self._digits.clear()

    def collect(self) -> Iterable[Metric]:
        """All of it, of all workers."""
        return (_Workers() if _FOLDER in os.environ else self._registry).collect()

    def statistics(self) -> dict[str, dict[tuple[str, str], float]]:
        """What was noted of passes and parts, of all workers: a metric's name and its labels' values to its value."""
        names = {
            "digits_passes",
            "digits_pass_seconds",
            "digits_inference_parts",
            "digits_inference_part_seconds",
            "digits_queue_seconds",
            self.LAST,
        }
        found: dict[str, dict[tuple[str, str], float]] = {name: {} for name in names}
        self.count()
        for metric in self.collect():
            if metric.name in names:
                for sample in metric.samples:
                    labels = sample.labels
                    if "le" not in labels:
                        of_what = sample.name.removeprefix(f"{metric.name}_")  # of a histogram: count, sum
                        part = labels.get("part") or labels.get("pictures") or of_what
                        found[metric.name][labels.get("version", ""), part] = sample.value
        return found


def _count(
    noted: dict[tuple[int, Any], list[float]],
    children: dict[tuple[int, Any], tuple[Counter, Counter]],
    counter: Counter,
    seconds: Counter,
) -> None:
    for labels, (times, spent) in noted.items():
        of_labels = children.get(labels)
        if of_labels is None:
            of_labels = children[labels] = counter.labels(*labels), seconds.labels(*labels)
        of_labels[0].inc(times)
        of_labels[1].inc(spent)
    noted.clear()


def _add(noted: dict[tuple[int, Any], list[float]], of: tuple[int, Any], count: int, seconds: float) -> None:
    entry = noted.get(of)
    if entry is None:
        noted[of] = [count, seconds]
    else:
        entry[0] += count
        entry[1] += seconds


class _Workers(Collector):
    """What all workers have counted, those that have ended too."""

    def collect(self) -> Iterable[Metric]:
        """From their files."""
        files = [str(file) for file in Path(os.environ[_FOLDER]).glob("*.db") if _has_content(file)]
        counted: Iterable[Metric] = MultiProcessCollector.merge(files)
        return counted


def _has_content(file: Path) -> bool:
    """Whether it can be read: a worker that starts makes it and fills it then, one that has ended has it removed."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:
        return False


@contextmanager
def shared() -> Iterator[None]:
    """Have the processes that are started within share their counts, in a folder that goes when they are gone."""
    # In memory where there is such a place: a root file system may be read-only, and a disk slow.
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    place = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    _sweep(place)
    try:
        folder = tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=place, ignore_cleanup_errors=True)
    except OSError as exc:
        raise SystemExit(f"digits: several workers need a folder for their counts, in /dev/shm or /tmp: {exc}") from exc
    with folder as name:
        os.environ[_FOLDER] = name
        yield


def _sweep(place: Path) -> None:
    """Remove the folders of those who were killed: by their name, of processes that are no more."""
    for folder in place.glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and Path("/proc/self").exists() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)


def forget(pid: int | None) -> None:
    """A worker has ended: what it was no longer counts, what it has counted does."""
    mark_process_dead(pid, os.environ[_FOLDER])
