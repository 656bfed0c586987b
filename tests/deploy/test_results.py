"""Only complete parts in the output folder count as done."""

from pathlib import Path

import pyarrow as pa

from deploy.batch.results import Results


def test_a_damaged_part_does_not_count_as_done(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.write_part(3, pa.table({"id": ["7.png"]}), [])
    (part,) = results.scores.iterdir()
    was_done = results.has_part(3)

    part.write_bytes(part.read_bytes()[:-5])

    assert was_done
    assert not results.has_part(3)


def test_a_part_that_was_never_written_is_not_done(tmp_path: Path) -> None:
    assert not Results(tmp_path).has_part(4)
