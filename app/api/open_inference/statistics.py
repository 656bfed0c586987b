"""Triton's model statistics, from the metrics.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

from collections.abc import Iterable
from typing import Any

from prometheus_client.samples import Sample

from app.inference.model_registry import ModelRegistry
from app.telemetry.metrics import Metrics
from digits.model import artifact

_ZERO = {"count": 0, "ns": 0}


def model_statistics(registry: ModelRegistry, metrics: Metrics, number: int | None) -> dict[str, Any]:
    """Return the statistics of one version, or of all loaded versions."""
    samples = metrics.samples()
    return {"model_stats": [_of_version(version, samples) for version in ([number] if number else registry.loaded())]}


def _of_version(version: int, samples: Iterable[Sample]) -> dict[str, Any]:
    """Return one version's statistics.

    The counts of pictures and passes, and `compute_infer`, include this version's requests in every protocol. `queue`
    includes every protocol and every version, because its metric has no version label. All other entries count only
    Open Inference Protocol requests for this version.
    """
    # Keys are (sample name, label). The label is the step or the number of pictures; it is "" for samples with neither.
    values: dict[tuple[str, str], float] = {}
    for sample in samples:
        # A sample without a version label belongs to all versions.
        if sample.labels.get("version", str(version)) == str(version):
            values[sample.name, sample.labels.get("part") or sample.labels.get("pictures", "")] = sample.value

    def duration(count: str, seconds: str, label: str = "") -> dict[str, int]:
        return {"count": int(values.get((count, label), 0)), "ns": round(values.get((seconds, label), 0) * 1e9)}

    parts = {
        part: duration("digits_inference_parts_total", "digits_inference_part_seconds_total", part)
        for part in ("success", "fail", "compute_input", "compute_output")
    }
    sizes = sorted(int(pictures) for name, pictures in values if name == "digits_passes_total")
    passes = {size: duration("digits_passes_total", "digits_pass_seconds_total", str(size)) for size in sizes}
    compute_infer = {key: sum(one[key] for one in passes.values()) for key in ("count", "ns")}
    return {
        "name": artifact.NAME,
        "version": str(version),
        "last_inference": round(1000 * values.get(("digits_last_inference_timestamp_seconds", ""), 0)),
        "inference_count": sum(size * one["count"] for size, one in passes.items()),
        "execution_count": compute_infer["count"],
        "inference_stats": {
            **parts,
            "queue": duration("digits_queue_seconds_count", "digits_queue_seconds_sum"),
            "compute_infer": compute_infer,
            "cache_hit": _ZERO,
            "cache_miss": _ZERO,
        },
        "batch_stats": [
            {"batch_size": size, "compute_input": _ZERO, "compute_infer": one, "compute_output": _ZERO}
            for size, one in passes.items()
        ],
    }
