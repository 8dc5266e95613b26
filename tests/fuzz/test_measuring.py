"""Children that die, and what a read costs."""

import os
from pathlib import Path

import pytest
from hypothesis import strategies as st

from fuzz.measuring import Outcome, Promise, each_example, in_children, outcome_of, prepare_child, report

PROMISE = Promise((ValueError,), lambda err: None if "expected" in str(err) else "unclear", megabytes=100)


def chunk(number: int) -> list[Outcome]:
    if number == 1:
        os.abort()
    return [Outcome("a", "read", number, 0, None)]


def start() -> None:
    prepare_child(lambda: None)


def test_a_child_that_dies_is_an_outcome_and_the_others_go_on() -> None:
    outcomes = in_children(chunk, [(n,) for n in range(4)], start, (), workers=1)
    assert [(outcome.name, outcome.seconds) for outcome in outcomes] == [
        ("read", 0),
        ("dead process", 0),
        ("read", 2),
        ("read", 3),
    ]
    assert "(1,)" in str(outcomes[1].problem)
    assert report(outcomes, "numbers") == 1
    assert report([outcomes[0]], "numbers") == 0


def refuse(message: str) -> None:
    raise ValueError(message)


@pytest.mark.parametrize(
    ("message", "problem"), [("expected a, got b", None), ("b", "unclear"), ("expected \x1b", "unprintable")]
)
def test_a_refusal_is_judged(message: str, problem: str | None) -> None:
    outcome = outcome_of("a", lambda: refuse(message), lambda found: None, PROMISE)
    assert outcome.name == "ValueError"
    assert outcome.problem is None if problem is None else problem in str(outcome.problem)


def test_memory_is_that_of_the_read() -> None:
    held = bytes(os.urandom(1)) * (200 << 20)
    outcome = outcome_of("a", lambda: len(b"1" * (150 << 20)), lambda found: None, PROMISE)
    assert 145 < outcome.megabytes < 190
    assert "150 MB" in str(outcome.problem) or "MB" in str(outcome.problem)
    assert outcome_of("a", lambda: len(held), lambda found: None, PROMISE).problem is None


def test_what_is_found_wrong_is_the_problem() -> None:
    assert outcome_of("a", lambda: 1, lambda found: f"got {found}", PROMISE).problem == "got 1"


def test_the_seed_decides(tmp_path: Path) -> None:
    runs = []
    for seed in (3, 3, 4):
        found = list[int]()
        each_example(seed, 20, st.integers(), found.append)
        runs.append(found)
    assert runs[0] == runs[1] != runs[2]
