"""Sketches as plain tensors and numbers, for files: no class and no code is in them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cuvis_ai.errors import GraphError
from cuvis_ai.stats.score_counts import Histogram
from cuvis_ai.stats.sketch import Sketch

Plain = dict[str, Tensor | int | float | bool]
"""The state of a sketch by name; parts of parts with dots between."""


def as_record(sketch: Sketch) -> Plain:
    """Return all that a sketch holds.

    Raises:
        GraphError: it holds what is no tensor, number, histogram or sketch.
    """
    found: Plain = {}
    for name, value in _state(sketch).items():
        _put(found, name, value, sketch)
    return found


def _state(sketch: Sketch) -> dict[str, Any]:
    state = getattr(sketch, "__getstate__")()  # noqa: B009  # Python's own for all objects, typed as object
    return dict(state)


def _put(found: Plain, name: str, value: Any, sketch: Sketch) -> None:
    match value:
        case Tensor():
            found[name] = value.detach().cpu().contiguous()
        case np.ndarray():
            found[name] = torch.from_numpy(np.ascontiguousarray(value))
        case bool() | int() | float():
            found[name] = value
        case Sketch():
            for key, part in _state(value).items():
                _put(found, f"{name}.{key}", part, sketch)
        case list() | tuple():
            for i, part in enumerate(value):
                _put(found, f"{name}.{i}", part, sketch)
        case _:
            raise GraphError(
                f"{type(sketch).__name__}: expected a state of tensors and numbers, got "
                f"{type(value).__name__} in `{name}`. Such statistics cannot be shared through files."
            )


def from_record(empty: Sketch, record: Mapping[str, Tensor | int | float | bool]) -> Sketch:
    """Return an empty sketch filled with a record, of which every name and kind must be the sketch's own.

    Raises:
        GraphError: they are others.
    """
    left = dict(record)
    filled = _filled(empty, "", left, type(empty).__name__)
    if left:
        raise GraphError(f"{type(empty).__name__}: expected its own state, got {sorted(left)[:3]} besides.")
    assert isinstance(filled, Sketch)
    return filled


def _filled(value: Any, name: str, left: dict[str, Any], where: str) -> Any:
    if isinstance(value, Sketch):
        for key, part in _state(value).items():
            setattr(value, key, _filled(part, f"{name}.{key}" if name else key, left, where))
        return value
    if isinstance(value, Histogram):
        return Histogram(*(_filled(part, f"{name}.{i}", left, where) for i, part in enumerate(value)))
    if isinstance(value, list | tuple):
        return type(value)(_filled(part, f"{name}.{i}", left, where) for i, part in enumerate(value))
    found = left.pop(name, None)
    wanted = Tensor if isinstance(value, Tensor | np.ndarray) else type(value)
    alike = type(found) is wanted
    if alike and isinstance(found, Tensor):
        like = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        alike = found.dtype == like.dtype
    if not alike:
        raise GraphError(
            f"{where}: expected `{name}` of the kind {wanted.__name__}, got {type(found).__name__}. Take the "
            "sketch again, with the version of cuvis_ai that reads it."
        )
    return found.numpy() if isinstance(value, np.ndarray) else found
