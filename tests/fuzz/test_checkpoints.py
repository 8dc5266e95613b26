"""The fuzzer of checkpoints, in its short form."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import strategies as st

from fuzz.checkpoint_mutations import MUTATIONS, unpickled
from fuzz.checkpoints import fuzzed, sound
from fuzz.measuring import each_example

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed", "ignore:Checkpoint directory")


@pytest.mark.slow
def test_mutated_checkpoints_resume_or_are_refused(tmp_path: Path) -> None:
    outcomes = fuzzed(100, seed=5, workers=1, folder=tmp_path)
    assert [outcome for outcome in outcomes if outcome.problem] == []
    assert Counter(outcome.kind for outcome in outcomes) == {kind: n for kind, (n, _) in MUTATIONS.items()}
    counts = Counter(outcome.name for outcome in outcomes)
    assert counts.keys() <= {"as left alone", "from other numbers", "ConfigError", "NonFiniteLossError"}
    assert counts["ConfigError"] > 50
    assert counts["as left alone"] > 5
    assert not any(tmp_path.iterdir())


def test_same_seed_gives_the_same_mutations(tmp_path: Path) -> None:
    content = sound(tmp_path)
    assert unpickled(content)["epoch"] == 1
    for _, mutation in MUTATIONS.values():
        made: list[list[bytes]] = [[], [], []]
        for seed, files in zip((3, 3, 4), made, strict=True):
            each_example(seed, 5, st.just(content).flatmap(lambda c, m=mutation: m(c, "x")), files.append)
        assert made[0] == made[1]
        assert made[0] != made[2]
