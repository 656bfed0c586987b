"""Give chunks of pictures to an executor, with the results in order and a bounded number of chunks ahead of them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from numpy import ndarray

from cli.batch.worker import Chunk, Scored
from cli.sources.listing import NamedPicture

_CHUNK_PICTURES = 32  # that a process gets at a time, and that one forward pass classifies
_CHUNK_BYTES = 8_000_000  # at which a chunk of pictures from tables ends
_CHUNKS_AHEAD = 4  # per process, in progress or waiting for an earlier one, so that no process waits for the slowest
_BYTES_AHEAD = 128_000_000  # of pictures from tables, in progress or waiting; the processes read the other pictures


@dataclass(frozen=True, slots=True)
class Executor:
    submit: Callable[[Chunk], Callable[[], Scored]]
    """Starts the work on a chunk, and returns a function that waits for its result."""
    processes: int


def score_all(executor: Executor, pictures: Iterable[NamedPicture]) -> Iterator[Scored]:
    """Yield the rows of all pictures, in their order. Pictures are read from their source as they are needed."""
    waiting: deque[tuple[int, Callable[[], Scored]]] = deque()
    bytes_ahead = 0
    for chunk, size in chunks(pictures):
        while waiting and (len(waiting) >= _CHUNKS_AHEAD * executor.processes or bytes_ahead + size > _BYTES_AHEAD):
            first_size, result = waiting.popleft()
            bytes_ahead -= first_size
            yield result()
        waiting.append((size, executor.submit(chunk)))
        bytes_ahead += size
    for _, result in waiting:
        yield result()


def chunks(pictures: Iterable[NamedPicture]) -> Iterator[tuple[Chunk, int]]:
    """Yield the pictures in lists that end at 32 pictures or 8 MB, with the bytes in each list. A path counts as 0."""
    chunk: Chunk = []
    size = 0
    for picture in pictures:
        chunk.append(picture)
        content = picture.content
        if isinstance(content, bytes | ndarray):
            size += content.nbytes if isinstance(content, ndarray) else len(content)
        if len(chunk) == _CHUNK_PICTURES or size >= _CHUNK_BYTES:
            yield chunk, size
            chunk, size = [], 0
    if chunk:
        yield chunk, size
