"""Triton's model statistics.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

from typing import Any

from app.inference.model_registry import ModelRegistry
from app.telemetry.metrics import Metrics
from app.telemetry.statistics import Timing, VersionStatistics
from digits.model import artifact

_ZERO = {"count": 0, "ns": 0}
_PARTS = ("success", "fail", "compute_input", "compute_output")


def model_statistics(registry: ModelRegistry, metrics: Metrics, number: int | None) -> dict[str, Any]:
    """Return the statistics of one version, or of all loaded versions."""
    queue = metrics.waits()
    numbers = [number] if number else registry.loaded()
    versions = metrics.statistics.versions
    return {"model_stats": [_of_version(each, versions.get(each, VersionStatistics()), queue) for each in numbers]}


def _of_version(number: int, statistics: VersionStatistics, queue: Timing) -> dict[str, Any]:
    """Return one version's statistics.

    The counts of pictures and passes, and `compute_infer`, include this version's requests in every protocol. `queue`
    includes every protocol and every version. All other entries count only Open Inference Protocol requests for this
    version.
    """
    passes = {size: _duration(statistics.passes[size]) for size in sorted(statistics.passes)}
    compute_infer = {key: sum(one[key] for one in passes.values()) for key in ("count", "ns")}
    return {
        "name": artifact.NAME,
        "version": str(number),
        "last_inference": round(1000 * statistics.last_pass),
        "inference_count": sum(size * one["count"] for size, one in passes.items()),
        "execution_count": compute_infer["count"],
        "inference_stats": {
            **{part: _duration(statistics.parts.get(part, Timing())) for part in _PARTS},
            "queue": _duration(queue),
            "compute_infer": compute_infer,
            "cache_hit": _ZERO,
            "cache_miss": _ZERO,
        },
        "batch_stats": [
            {"batch_size": size, "compute_input": _ZERO, "compute_infer": one, "compute_output": _ZERO}
            for size, one in passes.items()
        ],
    }


def _duration(timing: Timing) -> dict[str, int]:
    return {"count": timing.count, "ns": round(timing.seconds * 1e9)}
