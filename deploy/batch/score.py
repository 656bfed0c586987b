"""`python -m deploy.score SOURCE... --output FOLDER`: many pictures to Parquet, on all cores or on a cluster."""

import argparse
import logging
import os
import pickle
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from deploy.ray import private_cluster
from digits.artifact import MODEL
from digits.classifier import Classifier, load_newest
from digits.command_line import add_options
from digits.errors import DigitsError

if TYPE_CHECKING:
    from deploy.batch.results import Results
    from deploy.batch.sources import Plan

_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",  # also in a cluster that is there
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # else `uv run` has every actor install an environment of its own
    "RAY_DATA_LOG_LEVEL": "ERROR",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what Ray Data's own actors have it warn of
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Environment of Ray, as far as it is not set."""

_LINE_SECONDS = 10
"""Between lines of progress in a pipe."""


class Unscored(Exception):
    """The run cannot begin or go on; the message is one line."""


def main(arguments: list[str] | None = None) -> int:
    """Score; 0 when anything could be, 1 when nothing could, 2 when it did not begin or broke off, 130 after Ctrl-C."""
    options = _options(arguments)
    os.environ.update(_RAY | os.environ)
    for name in ("pyarrow", "ray"):
        if find_spec(name) is None:
            print(f"score: needs {name}, which is not installed: uv sync --extra scale", file=sys.stderr)
            return 2
    from deploy.batch.results import UnusableFolder  # noqa: PLC0415 - what needs pyarrow, which serving does not install
    from deploy.batch.sources import UnusableSource  # noqa: PLC0415

    try:
        return _score(options)
    except (DigitsError, UnusableSource, UnusableFolder, Unscored, OSError) as exc:
        print(f"score: {exc}", file=sys.stderr)
        return 2


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.score",
        description="Score many pictures, in folders, Parquet or NPZ files, to Parquet files in the order of the "
        "sources. A run that was killed goes on where it was when it is started again in the same way.",
        epilog="Without --address all cores of this machine work. On a cluster every node needs this code, and sees "
        "sources, output and models under the same paths.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="a folder, gone through recursively, or a file: .parquet, .npz, anything else is a picture",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="where scores/*.parquet and rejected.jsonl go; an empty folder, or that of the same run",
    )
    parser.add_argument(
        "--column", help="of Parquet files the column, of NPZ files the array of pictures (default: the only one)"
    )
    add_options(parser)
    parser.add_argument(
        "--address",
        default=os.environ.get("RAY_ADDRESS") or "local",
        help="of a Ray cluster (default: RAY_ADDRESS, else one on this machine, for this run)",
    )
    return parser.parse_args(arguments)


def _score(options: argparse.Namespace) -> int:
    from deploy.batch.results import Results  # noqa: PLC0415 - as above
    from deploy.batch.sources import plan  # noqa: PLC0415

    began = time.monotonic()
    _hold_apart(options.output, options.sources)
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
    todo = [number for number in range(len(planned.shards)) if not results.has(number)]
    pictures = sum(len(planned.shards[number]) for number in todo)
    if todo:
        try:
            _run(options, planned, todo, classifier)
        except KeyboardInterrupt:
            print("score: interrupted; the same command goes on from here", file=sys.stderr)
            return 130
    return _summary(results, planned, model, pictures, time.monotonic() - began)


def _hold_apart(output: Path, sources: list[str]) -> None:
    """Raises Unscored where the output would be found among the sources the next time."""
    for source in sources:
        if output.resolve().is_relative_to(Path(source).resolve()):
            raise Unscored(f"expected an --output outside of the sources, received {output} in {source}")


def _run(
    options: argparse.Namespace,
    planned: "Plan",
    todo: list[int],
    classifier: Classifier,
) -> None:
    """Score the shards that are still to be made.

    Raises:
        Unscored: Ray cannot be had, or gave up; what is done remains.
    """
    local = options.address == "local"
    if local:
        os.environ.update(private_cluster.environment())
    import ray  # noqa: PLC0415 - takes a second, and reads the environment
    import ray.data  # noqa: PLC0415

    from deploy.batch.shards import Scorer  # noqa: PLC0415

    try:
        ray.init(
            options.address,
            include_dashboard=False if local else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as exc:
        raise Unscored(
            f"expected a Ray cluster at {options.address}, received none: {private_cluster.last_line(exc)}"
        ) from exc
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    cores = int(ray.cluster_resources().get("CPU", 1))  # type: ignore[no-untyped-call]
    left = sum(len(planned.shards[number]) for number in todo)
    progress = _Progress(planned.pictures, planned.pictures - left, sys.stderr)
    try:
        # A block a shard, so that each is told of as soon as it is done.
        shards = ray.data.from_items(
            [{"number": number, "shard": pickle.dumps(planned.shards[number])} for number in todo],
            override_num_blocks=len(todo),
        )
        done = shards.map_batches(
            Scorer,
            fn_constructor_args=(classifier.folder, options.normalize, options.output.absolute()),
            compute=ray.data.ActorPoolStrategy(size=max(1, min(cores, len(todo)))),
            num_cpus=1,
            batch_size=1,
        )
        for batch in done.iter_batches(batch_size=None):
            for hindrance in filter(None, batch["hindrance"]):
                raise Unscored(f"broken off, and goes on with the same command: {hindrance}")
            progress.add(int(batch["pictures"].sum()))
    except (ray.exceptions.RayError, ray.data.exceptions.SystemException) as exc:
        raise Unscored(f"broken off, and goes on with the same command: {private_cluster.last_line(exc)}") from exc
    finally:
        ray.shutdown()


class _Progress:
    """How far it is: one line that is written over in a terminal, else one now and then."""

    def __init__(self, total: int, done: int, stream: TextIO) -> None:
        self._total, self._done, self._stream = total, done, stream
        self._before, self._began = done, time.monotonic()
        self._interactive = stream.isatty()
        self._told = self._began
        if done:
            print(f"score: {done:,} of {total:,} pictures are done already", file=stream)

    def add(self, pictures: int) -> None:
        """So many more are done."""
        self._done += pictures
        now = time.monotonic()
        if not self._interactive and now - self._told < _LINE_SECONDS:
            return
        self._told = now
        each = (now - self._began) / (self._done - self._before)
        left = f"{each * (self._total - self._done):,.0f} s left"
        line = f"score: {self._done:,} of {self._total:,} pictures, {1 / each:,.0f} pictures/s, {left}"
        if self._interactive:
            end = "\n" if self._done == self._total else ""
            print(f"\r{line}\033[K", end=end, file=self._stream, flush=True)
        else:
            print(line, file=self._stream, flush=True)


def _summary(results: "Results", planned: "Plan", model: str, pictures: int, seconds: float) -> int:
    """The last line, and the exit code."""
    scored, rejected = results.finish(len(planned.shards))
    rate = f"{pictures:,} pictures in {seconds:.1f} s ({pictures / seconds:,.0f} pictures/s)"
    print(
        f"scored {scored:,}, rejected {rejected:,} by {model}; this run {rate}; "
        f"{results.scores}" + (f", {results.rejected}" if rejected else "")
    )
    return 0 if scored else 1
