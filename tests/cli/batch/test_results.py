"""The file of results is written by one run at a time."""

from contextlib import closing
from pathlib import Path

import pytest

from cli.batch.results import Results, UnusableOutput


@pytest.mark.parametrize("options", [{"resume": False, "force": True}, {"resume": True, "force": False}])
def test_a_second_run_is_refused_while_the_first_one_writes(tmp_path: Path, options: dict[str, bool]) -> None:
    output = tmp_path / "results.csv"
    first = Results(output, ["path", "error"])
    first.begin({"command": "predict"}, resume=False, force=False)
    first.append(b'{"path":"a.png","error":null}\n')

    second = Results(output, ["path", "error"])
    with closing(second), pytest.raises(UnusableOutput, match="another run is writing this output"):
        second.begin({"command": "predict"}, **options)
    first.finish()
    first.close()

    assert "a.png" in output.read_text()
