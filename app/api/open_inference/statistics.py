"""Triton's model statistics, from the counters of all workers.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

from collections.abc import Mapping
from typing import Any

from app.telemetry.metrics import Metrics
from digits import artifact

Counts = Mapping[str, Mapping[tuple[str, str], float]]
"""The value of each counter by its name and labels."""

_ZERO = {"count": 0, "ns": 0}


def model_statistics(version: int, counts: Counts) -> dict[str, Any]:
    """Return one version's statistics.

    Pictures and forward passes are those of all dialects. `inference_stats` counts this protocol's requests only,
    except `queue`, which is the waiting time of all versions, and `compute_infer`, which is the time of all passes.
    """

    def duration(count: str, seconds: str, label: str) -> dict[str, int]:
        key = str(version), label
        return {"count": int(counts[count].get(key, 0)), "ns": round(counts[seconds].get(key, 0) * 1e9)}

    parts = ("success", "fail", "compute_input", "compute_output")
    queue = counts["digits_queue_seconds"]
    sizes = sorted(int(size) for of_version, size in counts["digits_passes"] if of_version == str(version))
    passes = {size: duration("digits_passes", "digits_pass_seconds", str(size)) for size in sizes}
    compute_infer = {key: sum(one[key] for one in passes.values()) for key in ("count", "ns")}
    return {
        "name": artifact.NAME,
        "version": str(version),
        "last_inference": round(1000 * counts[Metrics.LAST].get((str(version), Metrics.LAST), 0)),
        "inference_count": sum(size * one["count"] for size, one in passes.items()),
        "execution_count": compute_infer["count"],
        "inference_stats": {
            **{part: duration("digits_inference_parts", "digits_inference_part_seconds", part) for part in parts},
            "queue": {"count": int(queue["", "count"]), "ns": round(queue["", "sum"] * 1e9)},
            "compute_infer": compute_infer,
            "cache_hit": _ZERO,
            "cache_miss": _ZERO,
        },
        "batch_stats": [
            {"batch_size": size, "compute_input": _ZERO, "compute_infer": one, "compute_output": _ZERO}
            for size, one in passes.items()
        ],
    }
