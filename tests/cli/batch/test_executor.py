"""However many pictures there are, only a few are in memory."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.batch.executor import Executor, score_all
from cli.batch.tasks import Predict
from cli.batch.worker import Chunk, LoadedModel, RunFailed, Scored, score
from cli.sources.listing import NamedPicture
from cli.sources.tables import Content
from digits.model.artifact import MODEL
from tests.conftest import Published


def pictures(count: int, content: str | Content = "path") -> Iterator[NamedPicture]:
    for number in range(count):
        yield NamedPicture(str(number), content)


@pytest.mark.parametrize(
    ("content", "ahead"),
    [
        pytest.param("path", 4 * 8 * 32, id="paths: four chunks of 32 per process"),
        pytest.param(bytes(1_000_000), 128, id="rows of a megabyte: 128 MB"),
        pytest.param(bytes(200_000_000), 1, id="rows of 200 MB: one"),
    ],
)
def test_pictures_are_read_only_as_far_as_they_are_needed(content: str | bytes, ahead: int) -> None:
    listed = scored_pictures = most_ahead = 0

    def listed_pictures() -> Iterator[NamedPicture]:
        nonlocal listed
        for picture in pictures(2_000, content):
            listed += 1
            yield picture

    def submit(chunk: Chunk) -> Callable[[], Scored]:
        nonlocal most_ahead
        most_ahead = max(most_ahead, listed - scored_pictures)
        return lambda: Scored(b"", len(chunk), [])

    for scored in score_all(Executor(submit, processes=8), listed_pictures()):
        scored_pictures += scored.pictures

    assert scored_pictures == 2_000
    assert most_ahead == ahead


def test_a_folder_that_vanishes_ends_the_run_instead_of_failing_pictures(published: Published, tmp_path: Path) -> None:
    run = (LoadedModel(published.folder, published.manifest.files[MODEL]), Predict("auto"), tmp_path)

    with pytest.raises(RunFailed, match=f"{tmp_path}/gone does not exist"):
        score(*run, [NamedPicture("7.png", "gone/7.png")])
    assert score(*run, [NamedPicture("7.png", "7.png")]).failures[0].startswith("7.png: cannot be read: ")
