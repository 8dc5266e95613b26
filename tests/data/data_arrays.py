"""xarray's DataArray, or a stand-in with what is read of it where xarray is not installed."""

import importlib.util
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest


class StandIn:
    def __init__(
        self,
        values: Any,
        dims: Sequence[str],
        coords: Mapping[str, Any] | None = None,
        attrs: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        self.values = np.asarray(values)
        self.dtype, self.shape, self.ndim = self.values.dtype, self.values.shape, self.values.ndim
        self.dims, self.attrs, self.name, self.encoding = tuple(dims), dict(attrs or {}), name, {}
        self.coords = {}
        for key, coordinate in (coords or {}).items():
            along, numbers, *said = coordinate if isinstance(coordinate, tuple) else (key, coordinate)
            self.coords[key] = StandIn(numbers, (along,), attrs=said[0] if said else {}, name=key)


def data_array_class(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """Return the class; a stand-in counts as xarray's until the test ends."""
    if importlib.util.find_spec("xarray"):
        import xarray

        return xarray.DataArray  # type: ignore[no-any-return]
    module = types.ModuleType("xarray")
    module.DataArray = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xarray", module)
    return StandIn
