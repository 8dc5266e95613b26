"""What arrays in memory say as cubes: NumPy's (h, w, c), and xarray's with their names and attributes."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvis_ai.data.sources.axes import axis_letter
from cuvis_ai.data.sources.contents import Array, CubeContents
from cuvis_ai.data.sources.member_contents import cube_contents
from cuvis_ai.data.sources.members import Member, MemberSource, is_numeric
from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.errors import CubeFormatError

_LIMITS = ("valid_min", "valid_max", "valid_range")
_LEAST_NM = 200
"""Whole numbers from below this on count bands: air absorbs such wavelengths."""


def is_data_array(value: object) -> bool:
    """Return whether a value is an xarray DataArray; who has one has imported xarray."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(value, xarray.DataArray)


def array_contents(array: npt.NDArray[Any]) -> CubeContents:
    """Return a NumPy array (h, w, c) as a cube; masked values are no data.

    Raises:
        CubeFormatError: it does not have three axes.
    """
    if array.ndim != 3:
        raise CubeFormatError(
            f"array: expected three axes (h, w, c), got shape {array.shape}. Give one cube; a batch of cubes "
            "is a torch tensor (b, c, h, w)."
        )
    if isinstance(array, np.ma.MaskedArray):
        array = np.ma.filled(array.astype(np.promote_types(array.dtype, np.float32)), np.nan)
    h, w, c = array.shape
    source = MemberSource(load=_boxes_of(array), shape=(h, w, c), declared=array.dtype)
    return CubeContents(source=source, axes="hwc", scaling=Scaling(known=False))


def data_array_contents(array: Any) -> CubeContents:
    """Return an xarray DataArray as a cube, read as the file that xarray would write of it.

    The names of its dimensions say which holds the bands; wavelengths are a coordinate along it, its own
    index among them unless that counts bands; no-data values stand in `attrs` or `encoding`, bad bands in a
    coordinate such as `good_band`.

    Raises:
        CubeFormatError: it does not have three dimensions.
    """
    name = name_of_data_array(array)
    values = np.asarray(array.values)
    members = {
        str(key): Member(
            shape=coordinate.shape,
            load=_boxes_of(np.asarray(coordinate.values)),
            dtype=coordinate.dtype,
            attributes=_said_of(str(key), np.asarray(coordinate.values)) | coordinate.attrs,
        )
        for key, coordinate in array.coords.items()
        if coordinate.ndim == 1
    }
    members[f"/{name}"] = Member(
        shape=values.shape,
        load=_boxes_of(values),
        dtype=values.dtype,
        attributes=_attributes(array.attrs, array.encoding),
        dimensions=tuple(map(str, array.dims)),
    )
    return cube_contents(Path(name), members, None)


def _said_of(name: str, values: Array) -> dict[str, str]:
    """Return that a coordinate along the bands holds wavelengths, if its numbers do not count bands."""
    if axis_letter(name) != "c" or not is_numeric(values.dtype):
        return {}
    counted = bool((values == np.round(values)).all()) and min(values.tolist(), default=_LEAST_NM) < _LEAST_NM
    return {} if counted else {"long_name": "wavelength"}


def name_of_data_array(array: Any) -> str:
    """Return what a DataArray is called."""
    return str(array.name or "DataArray")


def _attributes(attributes: Mapping[str, Any], encoding: Mapping[str, Any]) -> dict[str, Any]:
    """Return a DataArray's attributes as they hold for its values, which may be unpacked already."""
    packing = {name: encoding[name] for name in ("scale_factor", "add_offset") if name in encoding}
    if not packing:
        fill = {name: encoding[name] for name in ("_FillValue", "missing_value") if name in encoding}
        return {**fill, **attributes}
    # Fill values are NaN by now; limits are still those of the packed numbers.
    scale, offset = packing.get("scale_factor", 1.0), packing.get("add_offset", 0.0)
    limits = {name: np.asarray(attributes[name]) * scale + offset for name in _LIMITS if name in attributes}
    return {**attributes, **limits}


def _boxes_of(values: Array) -> Any:
    """Return the reader of a box of an array, or of all of it."""
    return lambda *box: values[box].copy()
