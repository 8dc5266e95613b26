"""The fuzzer of saved graphs, in its short form."""

from pathlib import Path

import pytest

from fuzz.sealing import Contents


@pytest.mark.slow
def test_mutated_archives_are_loaded_or_refused(tmp_path: Path) -> None:
    from fuzz.archives import fuzzed
    from fuzz.seeds import seeds

    tally = fuzzed(500, seed=11, workers=1, archives=seeds(), folder=tmp_path, limit=60)
    assert tally.findings == []
    assert {outcome for _, outcome in tally.outcomes} == {"ArchiveError", "loaded"}
    assert sum(tally.outcomes.values()) == 500


def test_same_number_gives_the_same_mutation(whole: Contents) -> None:
    from fuzz.archives import case

    assert [case(i, 3, [whole]) for i in range(20)] == [case(i, 3, [whole]) for i in range(20)]
    assert case(0, 3, [whole]) != case(0, 4, [whole])
