"""Values from files against the types that annotations name."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict

import pytest

from cuvis_ai.node.base import Node
from cuvis_ai.pipeline.saving.plain_types import argument_misfits, misfit


class Record(TypedDict):
    size: int
    names: list[str]


FITS: list[tuple[object, Any]] = [
    (3, int), (3, float), (0.5, float), (True, bool), (1, bool), ("x", str), (None, None), ([], list[int]),
    ([1, 2], Sequence[int]), ((0.5, 1), tuple[float, float]), ({"a": 1.0}, dict[str, float]), ("b", Literal["a", "b"]),
    (None, int | None), ("pca", Node | str), ({"size": 1, "names": ["x"]}, Record), (7, Any), ("x", Callable[[], int]),
]  # fmt: skip

MISFITS: list[tuple[object, Any, str]] = [
    (True, int, "x: expected an integer, got True."),
    (3.0, int, "x: expected an integer, got 3.0."),
    ("3", float, "x: expected a finite number, got '3'."),
    (float("nan"), float, "x: expected a finite number, got nan."),
    (10**400, float, "x: expected a finite number, got 1000"),
    (2**53 + 1, float, "x: expected a finite number, got 9007199254740993."),
    (2, bool, "x: expected true or false, got 2."),
    (None, str, "x: expected a string, got None."),
    ("ab", list[str], "x: expected a list, got 'ab'."),
    ([1, "2"], list[int], "x[1]: expected an integer, got '2'."),
    ({"a": "b"}, dict[str, float], "x['a']: expected a finite number, got 'b'."),
    (1, Literal["a", "b"], "x: expected 'a' or 'b', got 1."),
    (True, Literal[1], "x: expected 1, got True."),
    (0.5, int | None, "x: expected an integer or null, got 0.5."),
    (0.5, Node | str, "x: expected Node or a string, got 0.5."),
    ({"size": 1}, Record, "x: expected the keys size, names, got ['size']."),
    ({"size": "1", "names": []}, Record, "x.size: expected an integer, got '1'."),
    ([], Record, "x: expected a mapping, got []."),
]


@pytest.mark.parametrize(("value", "annotation"), FITS, ids=str)
def test_fits(value: object, annotation: Any) -> None:
    assert misfit(value, annotation, "x") is None


@pytest.mark.parametrize(("value", "annotation", "message"), MISFITS, ids=[row[2] for row in MISFITS])
def test_misfit_says_where_and_what(value: object, annotation: Any, message: str) -> None:
    assert (misfit(value, annotation, "x") or "").startswith(message)


def test_arguments_are_judged_by_their_annotations() -> None:
    def made(size: int, names: Sequence[str] = (), sloppy: int = None, free=3) -> None: ...  # type: ignore  # noqa: RUF013 (as users write it)

    assert argument_misfits({"size": 1, "names": ["a"], "sloppy": None, "free": "x"}, made, "node") == []
    assert argument_misfits({"names": 1, "other": 2}, made, "node") == [
        "node: `other`: no such argument.",
        "node: `size`: missing.",
        "node: `names`: expected a list, got 1.",
    ]
