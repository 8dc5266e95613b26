"""Values from files against the types that annotations name."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import pytest
import torch

from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.data.datamodule import CubeDataModule
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import ConfigError, DatasetNotFoundError, GraphError
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.plain_types import argument_misfits, misfit
from cuvis_ai.training.losses import OrthogonalityLoss, WeightedMultiLoss
from cuvis_ai.training.monitors import Monitor
from tests.cases import NODES
from tests.found import final_classes


class Record(TypedDict):
    size: int
    names: list[str]


FITS: list[tuple[object, Any]] = [
    (3, int), (3, float), (0.5, float), (True, bool), (1, bool), ("x", str), (None, None), ([], list[int]),
    (Path("x"), str | Path), (range(3), Sequence[int]), ([1, 2], Sequence[int]), ((0.5, 1), tuple[float, float]), ({"a": 1.0}, dict[str, float]), ("b", Literal["a", "b"]),
    (None, int | None), ("pca", Node | str), ({"size": 1, "names": ["x"]}, Record), (7, Any), ("x", Callable[[], int]),
]  # fmt: skip

MISFITS: list[tuple[object, Any, str]] = [
    (True, int, "x: expected an integer, got True."),
    (3.0, int, "x: expected an integer, got 3.0."),
    ("3", float, "x: expected a finite number, got '3'."),
    (float("nan"), float, "x: expected a finite number, got nan."),
    (10**400, float, "x: expected a finite number, got 1000"),
    (2**63, int, "x: expected an integer, got 9223372036854775808."),
    (3, str | Path, "x: expected a string or a path, got 3."),
    (b"ab", Sequence[int], "x: expected a list, got b'ab'."),
    (2**53 + 1, float, "x: expected a finite number, got 9007199254740993."),
    (2, bool, "x: expected true or false, got 2."),
    (None, str, "x: expected a string, got None."),
    ("ab", list[str], "x: expected a list, got 'ab'."),
    ([1, "2"], list[int], "x[1]: expected an integer, got '2'."),
    ({"a": "b"}, dict[str, float], "x['a']: expected a finite number, got 'b'."),
    (1, Literal["a", "b"], "x: expected 'a' or 'b', got 1."),
    (True, Literal[1], "x: expected 1, got True."),
    (0.5, int | None, "x: expected an integer or null, got 0.5."),
    ([1.0, float("nan")], Sequence[float] | None, "x[1]: expected a finite number, got nan."),
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


def test_a_class_of_a_protocol_needs_no_argument() -> None:
    """Python shows its constructor as (*args, **kwargs); a monitor of a configuration may be such a class."""

    class Bare(Monitor):
        pass

    assert argument_misfits({}, Bare, "monitor") == []
    assert argument_misfits({"args": 1}, Bare, "monitor") == ["monitor: `args`: no such argument."]


# Constructors.

OURS = (ConfigError, GraphError, DatasetNotFoundError)
VALUES = [
    None, True, 0, -1, 3, 3.0, -0.5, float("nan"), float("inf"), 10**400, "", "x", b"x", [], [1], ["a"], [[1]], {},
    {"a": 1}, object(), np.array([1.0, 2.0]), np.int64(3), torch.ones(2), print, Path("x"), [None], [float("nan")],
]  # fmt: skip
CLASSES = sorted(
    {cls for base in (Node, Leaf, CubeDataModule) for cls in final_classes(base)},
    key=lambda cls: cls.__name__,
)


def required_of(cls: type[Any], parameter: inspect.Parameter) -> Any:
    """Return a possible value of an argument without a default: that of the class's row among the nodes, or any."""
    for case in NODES:
        if type(node := case.make()) is cls:
            return getattr(node, parameter.name)
    if parameter.annotation is Any:
        return np.ones((2, 2, 2))
    return next(value for value in (3, "x", ["x"]) if misfit(value, parameter.annotation, "") is None)


def refusal(cls: type[Any], arguments: dict[str, Any]) -> str | None:
    """What a constructor says of its arguments in an error of ours; None if it takes them."""
    try:
        cls(**arguments)
    except OURS as err:
        return str(err)
    return None


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_argument_of_a_constructor_is_taken_or_refused_by_name(cls: type[Any]) -> None:
    parameters = inspect.signature(cls, eval_str=True).parameters
    required = {name: required_of(cls, one) for name, one in parameters.items() if one.default is one.empty}
    for name in parameters:
        for value in VALUES:
            refused = refusal(cls, {**required, name: value})
            # A composite's names need weights, which are then named.
            named = cls is WeightedMultiLoss or refused is None or name in refused
            assert named, (name, value, refused)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TrainablePCA(3.0), "TrainablePCA: `n_components`: expected an integer.*, got 3.0."),
        (lambda: TrainablePCA(2, eps="0"), "TrainablePCA: `eps`: expected a finite number, got '0'."),
        (
            lambda: OrthogonalityLoss(float("nan")),
            "OrthogonalityLoss: `weight`: expected a finite number, got nan.",
        ),
        (lambda: SceneTiles(5), "SceneTiles: `path`: expected a string or a path, got 5."),
        (lambda: SceneTiles("x", tile=2.5), "SceneTiles: `tile`: expected an integer or"),
        (lambda: SceneTiles("x", saturation=float("nan")), "`saturation` as a number, got nan"),
        (lambda: CubeFolder("x", batch_size="4"), "CubeFolder: `batch_size`: expected an integer, got '4'."),
        (
            lambda: CubeFolder("x", wavelengths=[400, -1]),
            r"`wavelengths` in nm, finite and above 0, got \[-1\]",
        ),
    ],
)
def test_a_wrong_argument_is_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_numbers_of_other_libraries_are_taken_as_python_s() -> None:
    pca = TrainablePCA(np.int64(3), eps=np.float32(0.5))
    assert (type(pca.n_components), type(pca.eps), pca.eps) == (int, float, 0.5)
    tiles = SceneTiles("x", wavelengths=np.array([400.0, 500.0]), bad_bands=torch.tensor([1]))
    assert (tiles.reading.wavelengths, tiles.reading.bad_bands) == ([400.0, 500.0], [1])


def test_a_base_is_given_what_its_subclass_makes_of_its_arguments() -> None:
    class Own(TrainablePCA):
        def __init__(self, share: float) -> None:
            super().__init__(round(10 * share))

    assert Own(0.3).n_components == 3
    with pytest.raises(ConfigError, match="Own: `share`: expected a finite number, got 'x'"):
        Own("x")  # type: ignore[arg-type]
