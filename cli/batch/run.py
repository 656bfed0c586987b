"""One run with --output, from its sources to the last line that it prints."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

from cli.batch.cluster import cluster
from cli.batch.executor import score_all
from cli.batch.processes import processes
from cli.batch.progress import shown
from cli.batch.results import Done, Results, UnusableOutput
from cli.batch.tasks import Task
from cli.batch.worker import LoadedModel, RunFailed
from cli.printable import say
from cli.request import Request
from cli.sources.listing import NamedPicture, Sources
from cli.sources.tables import UnusableSource
from digits.errors import ArtifactError
from digits.model.artifact import MODEL
from digits.model.classifier import Classifier


def run(request: Request, output: Path, classifier: Classifier, task: Task) -> int:
    """Do the task for all pictures and write the output.

    Return the exit code: 0, or 1 if any picture failed and `strict` is set, 2 if the run failed, 130 after Ctrl-C.
    """
    try:
        with closing(Results(output, task.columns(classifier))) as results:
            sources = Sources(request.sources, request.column, results.written)
            return _run(request, sources, classifier, task, results)
    except (UnusableSource, UnusableOutput) as exc:
        reason = str(exc)
    except OSError as exc:
        reason = f"{exc.filename or output}: {exc.strerror or exc}"
    except (RunFailed, ArtifactError) as exc:
        reason = f"{exc}. Add --resume to continue"
    say(f"digits: {reason}")
    return 2


def _run(request: Request, sources: Sources, classifier: Classifier, task: Task, results: Results) -> int:
    counts = sources.count()
    sha256 = classifier.manifest.files[MODEL]
    identity = {
        "command": task.command,
        "sources": sources.paths,
        "--column": sources.column,
        **task.options(),
        "columns": task.columns(classifier),
        "model": f"{classifier.described}, sha256 {sha256}",
    }
    done = results.begin(identity, resume=request.resume, force=request.force)
    remaining = _after(done, sources, results)
    began = time.monotonic()
    pictures, failed = done.rows, done.failed
    assert classifier.folder is not None
    model = LoadedModel(classifier.folder.absolute(), sha256)
    executor_of = processes if request.ray is None else partial(cluster, request.ray)
    try:
        with executor_of(model, task) as executor, shown(counts.pictures, done.rows) as progress:
            for scored in score_all(executor, remaining):
                results.append(scored.lines)
                pictures += scored.pictures
                failed += len(scored.failures)
                progress.advance(scored.pictures, scored.failures)
    except KeyboardInterrupt:
        say(f"digits: interrupted after {pictures:,} of {counts.pictures:,} pictures. Add --resume to continue")
        return 128 + signal.SIGINT
    seconds = time.monotonic() - began
    results.finish()
    new = pictures - done.rows
    others = _counted(counts.others, "other file")
    print(
        f"{results.output}: {_counted(pictures, 'picture')} by {classifier.described}, {failed:,} without "
        f"an answer; {others} skipped; {_counted(new, 'picture')} in {seconds:.1f} s ({new / seconds:,.0f} per second)"
    )
    return 1 if request.strict and failed else 0


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _after(done: Done, sources: Sources, results: Results) -> Iterator[NamedPicture]:
    """Return the pictures that an interrupted run has not done. Raises UnusableOutput if the sources have changed."""
    listed = sources.pictures()
    if not done.rows:
        return listed
    last = next(islice(listed, done.rows - 1, None), None)
    if last is None or last.name != done.last_path:
        raise UnusableOutput(
            f"{results.partial}: the sources have changed since the run was interrupted: expected {done.last_path} as "
            f"picture {done.rows:,}, received {last.name if last else 'none'}. Add --force to start again"
        )
    return listed
