"""The command `python -m deploy.score`: score many pictures to Parquet files, on all cores or on a Ray cluster."""

import argparse
import logging
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from deploy.ray import private_cluster
from digits.command_line import add_options
from digits.errors import DigitsError
from digits.model.artifact import MODEL
from digits.model.classifier import Classifier, load_newest

if TYPE_CHECKING:
    from deploy.batch.results import Results
    from deploy.batch.sources import Plan

_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Without this, `uv run` makes every actor install its own environment.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_DATA_LOG_LEVEL": "ERROR",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Variables that Ray reads. The user's own values take precedence."""

_PROGRESS_SECONDS = 10
"""Seconds between two lines of progress when standard error is not a terminal."""


class RunError(Exception):
    """The run cannot begin or continue. The message is one line."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0 if any picture was scored, 1 if all were rejected, 2 if the run failed, 130 after Ctrl-C.
    """
    options = _parse(arguments)
    os.environ.update(_RAY_ENVIRONMENT | os.environ)
    for name in ("pyarrow", "ray"):
        if find_spec(name) is None:
            print(f"score: the package {name} is not installed. Run: make .venv/.scale", file=sys.stderr)
            return 2
    # These need pyarrow, which only the extra `scale` installs.
    from deploy.batch.results import UnusableFolder  # noqa: PLC0415
    from deploy.batch.shards import UnusableSource  # noqa: PLC0415

    try:
        return _score(options)
    except (DigitsError, UnusableSource, UnusableFolder, RunError, OSError) as exc:
        print(f"score: {exc}", file=sys.stderr)
        return 2


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.score",
        description="Score many pictures and write Parquet files in the order of the sources. To continue a run that "
        "was interrupted, repeat the same command.",
        epilog="Without --address the run uses all cores of this machine. On a cluster, every node needs this code and "
        "must see the sources, the output and the models under the same paths.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a folder, which is searched recursively, or a .parquet file, an .npz file or a picture",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="the folder for scores/*.parquet and rejected.jsonl. It must be empty or belong to the same run",
    )
    parser.add_argument(
        "--column",
        help="the column of Parquet files and the array of NPZ files that holds the pictures (default: the only one)",
    )
    add_options(parser)
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS") or "local",
        help="address of a Ray cluster (default: RAY_ADDRESS, else a cluster on this machine for this run only)",
    )
    return parser.parse_args(arguments)


def _score(options: argparse.Namespace) -> int:
    """Score the sources and return the exit code."""
    from deploy.batch.results import Results  # noqa: PLC0415 - needs pyarrow
    from deploy.batch.sources import plan  # noqa: PLC0415

    began = time.monotonic()
    _check_output(options.output, options.sources)
    classifier, refusals = load_newest(options.model_dir)
    for refusal in refusals:
        print(f"score: not used: {refusal}", file=sys.stderr)
    planned = plan(options.sources, options.column)
    model = f"{classifier.manifest.name} version {classifier.manifest.version}"
    results = Results(options.output.absolute())
    results.begin(
        {
            "sources": options.sources,
            "files": f"{planned.pictures} pictures, sha256 of names, sizes and times {planned.sha256}",
            "--column": options.column,
            "--normalize": options.normalize,
            "model": f"{model}, sha256 {classifier.manifest.files[MODEL]}",
        }
    )
    missing = [number for number in range(len(planned.shards)) if not results.has_part(number)]
    if missing:
        try:
            _score_shards(options, planned, missing, classifier)
        except KeyboardInterrupt:
            print("score: interrupted. Repeat the same command to continue", file=sys.stderr)
            return 130
    pictures = sum(len(planned.shards[number]) for number in missing)
    return _print_summary(results, planned, model, pictures, time.monotonic() - began)


def _check_output(output: Path, sources: list[str]) -> None:
    """Raise RunError if the output is inside a source, because the next run would read the output."""
    for source in sources:
        if output.resolve().is_relative_to(Path(source).resolve()):
            raise RunError(f"expected an --output outside of the sources, received {output} in {source}")


def _score_shards(options: argparse.Namespace, planned: "Plan", missing: list[int], classifier: Classifier) -> None:
    """Score the shards whose parts are missing.

    Raises:
        RunError: Ray is not available or the run failed. Finished parts remain.
    """
    is_local = options.address == "local"
    if is_local:
        os.environ.update(private_cluster.environment())
    # Ray takes a second to import, and reads the environment during the import.
    import ray  # noqa: PLC0415
    import ray.data  # noqa: PLC0415

    from deploy.batch.scorer import Scorer  # noqa: PLC0415
    from deploy.batch.sources import shard_to_json  # noqa: PLC0415

    try:
        ray.init(
            options.address,
            include_dashboard=False if is_local else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except Exception as exc:  # Ray raises a plain Exception if a node does not start in time.
        raise RunError(f"expected a Ray cluster at {options.address}: {private_cluster.last_line(exc)}") from exc
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    todo = sum(len(planned.shards[number]) for number in missing)
    progress = _Progress(planned.pictures, planned.pictures - todo, sys.stderr)
    try:
        shards = ray.data.from_items(
            [{"number": number, "shard": shard_to_json(planned.shards[number])} for number in missing],
            override_num_blocks=len(missing),  # Ray Data reports each block as soon as it is done.
        )
        scored = shards.map_batches(
            Scorer,
            fn_constructor_args=(classifier.folder, options.normalize, options.output.absolute()),
            compute=ray.data.ActorPoolStrategy(size=max(1, min(cores, len(missing)))),
            num_cpus=1,
            batch_size=1,
        )
        for batch in scored.iter_batches(batch_size=None):
            for failure in filter(None, batch["failure"]):
                raise RunError(f"the run stopped: {failure}. Repeat the same command to continue")
            progress.add(int(batch["pictures"].sum()))
    except (ray.exceptions.RayError, ray.data.exceptions.SystemException) as exc:
        reason = private_cluster.last_line(exc)
        raise RunError(f"the run stopped: {reason}. Repeat the same command to continue") from exc
    finally:
        ray.shutdown()


class _Progress:
    """Print the progress: one line that is overwritten in a terminal, else a line every ten seconds."""

    # Ray Data's progress bars count blocks instead of pictures.

    def __init__(self, total: int, done: int, stream: TextIO) -> None:
        self._total, self._done, self._stream = total, done, stream
        self._done_before, self._began = done, time.monotonic()
        self._is_terminal = stream.isatty()
        self._printed = self._began
        if done:
            print(f"score: {done:,} of {total:,} pictures are done already", file=stream)

    def add(self, pictures: int) -> None:
        """Count pictures that are done."""
        self._done += pictures
        now = time.monotonic()
        if not self._is_terminal and now - self._printed < _PROGRESS_SECONDS:
            return
        self._printed = now
        seconds_each = (now - self._began) / (self._done - self._done_before)
        left = f"{seconds_each * (self._total - self._done):,.0f} s left"
        line = f"score: {self._done:,} of {self._total:,} pictures, {1 / seconds_each:,.0f} pictures/s, {left}"
        if self._is_terminal:
            end = "\n" if self._done == self._total else ""
            print(f"\r{line}\033[K", end=end, file=self._stream, flush=True)
        else:
            print(line, file=self._stream, flush=True)


def _print_summary(results: "Results", planned: "Plan", model: str, pictures: int, seconds: float) -> int:
    """Print the last line and return the exit code."""
    counts = results.finish(len(planned.shards))
    rate = f"{pictures:,} pictures in {seconds:.1f} s ({pictures / seconds:,.0f} pictures/s)"
    print(
        f"scored {counts.scored:,}, rejected {counts.rejected:,} by {model}; this run {rate}; "
        f"{results.scores}" + (f", {results.rejected}" if counts.rejected else "")
    )
    return 0 if counts.scored else 1
