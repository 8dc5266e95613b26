"""Every name that a user meets has an example in its docstring; pytest runs them (`--doctest-modules`)."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cuvis_ai
from cuvis_ai.data.datamodule import CubeDataModule
from cuvis_ai.leaf.bases import Leaf
from cuvis_ai.node.base import Node
from cuvis_ai.training import config
from cuvis_ai.training.monitors import Monitor
from tests.found import final_classes, modules
from tests.test_docs import PAGES, blocks

PACKAGE = Path(cuvis_ai.__file__).parent


def kinds() -> Iterator[Any]:
    """Nodes, leaves, monitors, data modules, settings and errors."""
    for base in (Node, Leaf, Monitor, CubeDataModule):
        yield from final_classes(base)
    yield from (one for one in vars(config).values() if dataclasses.is_dataclass(one))
    errors = importlib.import_module("cuvis_ai.errors")
    yield from (one for name, one in vars(errors).items() if name.endswith("Error") and name[0] != "_")


def formulas() -> Iterator[Any]:
    """The functions of `functional`."""
    for module in modules():
        if module.__name__.startswith("cuvis_ai.functional."):
            yield from (one for one in vars(module).values() if inspect.isfunction(one))


def exported() -> Iterator[Any]:
    """Classes that a module names in its `__all__`."""
    for module in modules():
        named = (getattr(module, name) for name in getattr(module, "__all__", ()))
        yield from (one for one in named if inspect.isclass(one))


def configured() -> Iterator[Any]:
    """What the shipped configurations name."""
    for path in sorted((PACKAGE / "conf").rglob("*.yaml")):
        for target in re.findall(r"_target_: (cuvis_ai\S+)", path.read_text(encoding="utf-8")):
            module, _, name = target.rpartition(".")
            yield getattr(importlib.import_module(module), name)


def imported() -> Iterator[Any]:
    """What the pages import."""
    for page in PAGES:
        for block in blocks(page):
            for node in ast.walk(ast.parse(block.text if block.language == "python" else "")):
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("cuvis_ai"):
                    module = importlib.import_module(str(node.module))
                    yield from (getattr(module, alias.name) for alias in node.names)


def user_facing() -> dict[str, Any]:
    found = [*kinds(), *formulas(), *exported(), *configured(), *imported()]
    return {
        f"{one.__module__}.{one.__qualname__}": one
        for one in found
        if (inspect.isclass(one) or inspect.isfunction(one))
        and one.__module__.startswith("cuvis_ai")
        and not one.__name__.startswith("_")
    }


@pytest.mark.parametrize(
    ("source", "least", "one"),
    [
        (kinds, 45, "WandBMonitor"), (formulas, 60, "auroc"), (exported, 30, "ChannelMoments"),
        (configured, 25, "RXGlobal"), (imported, 25, "detect"),
    ],
)  # fmt: skip
def test_user_facing_names_are_found(source: Any, least: int, one: str) -> None:
    names = {found.__name__ for found in source() if hasattr(found, "__name__")}
    assert one in names
    assert len(names) >= least


def has_example(name: str, of: Any) -> bool:
    tests = doctest.DocTestFinder(recurse=False).find(of, name)
    return any(example.want for test in tests for example in test.examples)


def test_every_user_facing_name_has_an_example_with_an_output() -> None:
    assert not sorted(name for name, one in user_facing().items() if not has_example(name, one))


def test_no_example_is_skipped() -> None:
    skipped = [path for path in PACKAGE.rglob("*.py") if "+SKIP" in path.read_text(encoding="utf-8")]
    assert not skipped
