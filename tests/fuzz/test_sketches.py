"""The fuzzer of files of statistics, in its short form."""

from pathlib import Path

import pytest

from fuzz.sketches import MUTATIONS, fuzzed


@pytest.mark.slow
def test_mutated_statistics_are_fitted_from_or_refused(tmp_path: Path) -> None:
    fits = fuzzed(300, seed=11, workers=1, folder=tmp_path)
    assert [fit.problem for fit in fits if fit.problem] == []
    assert {fit.name for fit in fits} == {"ArchiveError", "GraphError", "read"}
    assert {fit.kind for fit in fits} == MUTATIONS.keys()
    assert len(fits) == 300
    assert not any(tmp_path.iterdir())
