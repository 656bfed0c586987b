"""The plan of a run: the pictures of all sources, split into shards that are the same in every run.

Ray Data's own readers cannot do this: they split files by the size of the cluster, and a file that cannot be read fails
its whole task.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deploy.batch.files import PictureFiles
from deploy.batch.npz import NpzRows, npz_shards
from deploy.batch.parquet import ParquetRows, parquet_shards
from deploy.batch.shards import SHARD_BYTES, SHARD_PICTURES, UnusableSource

Shard = PictureFiles | ParquetRows | NpzRows

_KINDS: dict[str, type[Shard]] = {kind.__name__: kind for kind in (PictureFiles, ParquetRows, NpzRows)}


@dataclass(frozen=True, slots=True)
class Plan:
    """All shards, in the order of the sources."""

    shards: list[Shard]
    pictures: int
    sha256: str
    """Digest of the names, sizes and times of all files and of the shards' sizes. It changes with any of them."""


def shard_to_json(shard: Shard) -> str:
    """Encode a shard as JSON for the actor that scores it."""
    return json.dumps({"kind": type(shard).__name__, **asdict(shard)})


def shard_from_json(text: str) -> Shard:
    """Decode a shard that `shard_to_json` encoded."""
    fields = json.loads(text)
    return _KINDS[fields.pop("kind")](**fields)


def plan(sources: Sequence[str], column: str | None) -> Plan:
    """List the pictures of all sources and split them into shards.

    Args:
        sources: files or folders. Folders are listed recursively, sorted by name. Files that end in .parquet or .npz
            are read as such, and all others as pictures. Names that begin with a dot are skipped.
        column: the column of Parquet files and the array of NPZ files, or None for the only one that holds pictures.

    Raises:
        UnusableSource: a source does not exist or holds no pictures, or a Parquet or NPZ file cannot be used.
    """
    digest = hashlib.sha256()
    shards = [shard for source in sources for shard in _source_shards(source, column, digest)]
    digest.update(json.dumps([[shard.source, len(shard)] for shard in shards]).encode())
    return Plan(shards, sum(map(len, shards)), digest.hexdigest())


def _source_shards(source: str, column: str | None, digest: Any) -> Iterator[Shard]:
    """Yield one source's shards and add its files to the digest. Raises UnusableSource."""
    root = Path(source).absolute()  # Ray's actors have another working directory.
    try:
        status = root.stat()
    except OSError as exc:
        raise UnusableSource(f"{source}: expected a file or a folder: {exc.strerror}") from exc
    is_only_file = stat.S_ISREG(status.st_mode)
    if not is_only_file and not stat.S_ISDIR(status.st_mode):
        raise UnusableSource(f"{source}: expected a file or a folder, received something else")
    files = iter([(root.name, status)]) if is_only_file else _files_below(root, "", ())
    base = root.parent if is_only_file else root
    pending: list[str] = []
    pending_bytes = count = 0
    for path, status in files:
        digest.update(json.dumps([source, path, status.st_size, status.st_mtime_ns]).encode())
        kind = Path(path).suffix.lower()
        is_table = kind in (".parquet", ".npz")
        is_full = len(pending) == SHARD_PICTURES or pending_bytes + status.st_size > SHARD_BYTES
        if pending and (is_table or is_full):
            yield PictureFiles(source, str(base), pending)
            count += len(pending)
            pending, pending_bytes = [], 0
        if not is_table:
            pending.append(path)
            pending_bytes += status.st_size
            continue
        shards: Iterator[ParquetRows | NpzRows]
        if kind == ".parquet":
            shards = parquet_shards(source, base / path, path, column)
        else:
            shards = npz_shards(source, base / path, path, column, is_only_file=is_only_file)
        for shard in shards:
            count += len(shard)
            yield shard
    if pending:
        count += len(pending)
        yield PictureFiles(source, str(base), pending)
    if not count:
        raise UnusableSource(f"{source}: expected pictures, or Parquet or NPZ files with pictures, received nothing")


def _files_below(
    folder: Path, prefix: str, parents: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the relative path and the status of each file, sorted by name in each folder.

    Symbolic links are followed, except links to a parent folder. `parents` has the (device, inode) of each parent.
    """
    try:
        here = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as exc:
        raise UnusableSource(f"{folder}: the folder cannot be listed: {exc.strerror}") from exc
    parents = (*parents, (here.st_dev, here.st_ino))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            status = entry.stat()
        except OSError:  # List a broken link too, so that it is counted as rejected.
            status = entry.stat(follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) not in parents:
                yield from _files_below(folder / entry.name, f"{prefix}{entry.name}/", parents)
        elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            yield prefix + entry.name, status
