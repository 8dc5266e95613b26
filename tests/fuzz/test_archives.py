"""The fuzzer of saved graphs, in its short form."""

from collections import Counter
from pathlib import Path

import pytest

from fuzz.archives import fuzzed
from fuzz.mutations import MUTATIONS, each_mutated
from fuzz.sealing import Contents


@pytest.mark.slow
def test_mutated_archives_are_loaded_or_refused(tmp_path: Path) -> None:
    from fuzz.seeds import seeds  # imports Lightning

    loads = fuzzed(500, seed=11, workers=1, archives=seeds(), folder=tmp_path)
    assert [load.problem for load in loads if load.problem] == []
    assert {load.name for load in loads} == {"ArchiveError", "read"}
    assert {load.kind for load in loads} == MUTATIONS.keys()
    assert len(loads) == 500
    assert not any(tmp_path.iterdir())


def mutated(seed: int, contents: Contents) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    each_mutated(seed, 20, [contents], lambda kind, archive: found.append((kind, archive)))
    return found


def test_same_seed_gives_the_same_mutations(whole: Contents) -> None:
    assert mutated(3, whole) == mutated(3, whole)
    assert mutated(3, whole) != mutated(4, whole)


def test_every_kind_has_its_share(whole: Contents) -> None:
    assert sum(share for share, _ in MUTATIONS.values()) == 100
    found: list[str] = []
    each_mutated(0, 100, [whole], lambda kind, archive: found.append(kind))
    assert Counter(found) == {kind: share for kind, (share, _) in MUTATIONS.items()}
