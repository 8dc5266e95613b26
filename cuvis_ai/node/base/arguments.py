"""Constructor arguments of nodes and leaves: read back for saving, and checked."""

import inspect
from functools import cache
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from cuvis_ai.errors import ConfigError


def hyperparameters(module: nn.Module) -> dict[str, Any]:
    """Return the constructor arguments of a node or leaf, read back from its attributes."""
    return {name: getattr(module, name) for name in _arguments(class_of(module))}  # type: ignore[arg-type]  # classes can be hashed


@cache
def _arguments(cls: type[nn.Module]) -> tuple[str, ...]:
    return tuple(inspect.signature(cls).parameters)


def class_of(module: nn.Module) -> type[nn.Module]:
    """Return a module's class; torch gives a parametrized module a class of its own."""
    return parametrize.type_before_parametrizations(module)


def require(condition: bool, where: str, expected: str, got: object, remedy: str = "") -> None:
    """Raise a `ConfigError` in the project's form unless `condition` holds."""
    if not condition:
        raise ConfigError(f"{where}: expected {expected}, got {got!r}.{' ' + remedy if remedy else ''}")


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number by its type: 3, not 3.0 and not True."""
    return isinstance(value, int) and not isinstance(value, bool)
