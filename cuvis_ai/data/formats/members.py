"""Files that hold several named arrays: which one is the cube, and what the others say about it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.formats.contents import Array, BlockSource, CubeContents
from cuvis_ai.errors import CubeFormatError

_log = logging.getLogger(__name__)
_WAVELENGTHS = ("wavelengths", "wavelength", "wl", "lambda")
_GOOD_BANDS = ("bbl",)
_NO_DATA = ("_fillvalue", "missing_value", "no_data", "nodata", "no_data_value", "data_ignore_value")
_UNITS = ("wavelength_units", "wavelength_unit")
_BAND_DIMENSIONS = {*_WAVELENGTHS, "band", "bands", "channel", "channels", "spectral", "number_of_bands"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """One numeric array of a file."""

    shape: tuple[int, ...]
    """Its shape as its writer saw it."""
    load: Callable[[], Array]
    """Reads it whole; called for small vectors and masks only."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What the file says about it."""
    dimensions: tuple[str | None, ...] = ()
    """Names of its axes, where the file has them."""


def is_numeric(dtype: "np.dtype[Any]") -> bool:
    """Tell whether a type holds numbers that a cube or a mask may have."""
    return dtype.kind in "biufc"


def chosen_key(
    path: Path,
    members: Mapping[str, Member],
    key: str | None,
    fits: Callable[[tuple[int, ...]], bool],
    what: str,
) -> str:
    """Return the key of the array to read.

    Args:
        path: the file, for messages.
        members: its numeric arrays.
        key: the caller's choice, with or without a leading slash; None: the only one that fits.
        fits: tells from a shape whether the array can be it.
        what: what is looked for, for messages: "a cube (3 axes)".

    Raises:
        CubeFormatError: there is none, or several and no key.
    """
    listing = ", ".join(f"`{name}` {member.shape}" for name, member in members.items()) or "no numeric array"
    if key is not None:
        name = key.strip("/")
        if name not in members:
            raise CubeFormatError(f"{path}: expected an array `{key}`, got {listing}. Correct key=.")
        if not fits(members[name].shape):
            raise CubeFormatError(
                f"{path}: expected {what}, got `{key}` {members[name].shape}. Pass another key=: {listing}."
            )
        return name
    candidates = [name for name, member in members.items() if fits(member.shape)]
    if len(candidates) == 1:
        return candidates[0]
    advice = "Pass key= to say which." if candidates else "Is this the right file?"
    raise CubeFormatError(f"{path}: expected exactly one array that is {what}, got {listing}. {advice}")


def cube_key(path: Path, members: Mapping[str, Member], key: str | None) -> str:
    """Return the key of the cube: the one asked for, or the only array with 3 axes."""
    return chosen_key(path, members, key, lambda shape: len(shape) == 3, "a cube (3 axes)")


def axis_order(members: Mapping[str, Member], key: str) -> tuple[int, int, int]:
    """Return which of (h, w, c) each axis of the array is, such as (2, 0, 1) for (c, h, w).

    The bands are the last axis, unless an axis is named for them or the file's wavelengths fit another
    axis and not the last.
    """
    member = members[key]
    named = [
        i for i, name in enumerate(member.dimensions) if name is not None and name.lower() in _BAND_DIMENSIONS
    ]
    if len(named) == 1:
        band_axis = named[0]
    else:
        found = _wavelengths(members, key)
        fitting = [] if found is None else [i for i, n in enumerate(member.shape) if n == len(found[0])]
        band_axis = fitting[0] if len(fitting) == 1 else 2
    order = [0, 1]
    order.insert(band_axis, 2)
    return order[0], order[1], order[2]


def cube_shape(members: Mapping[str, Member], key: str) -> tuple[int, int, int]:
    """Return the array's shape as (h, w, c)."""
    h, w, c = (members[key].shape[i] for i in np.argsort(axis_order(members, key)))
    return h, w, c


def contents(members: Mapping[str, Member], key: str, source: BlockSource) -> CubeContents:
    """Return the cube under a key with what its neighbours and attributes say about it."""
    n_bands = source.shape[2]
    wavelengths, units = _wavelengths(members, key) or (None, None)
    good_bands, _ = _vector(members, key, _GOOD_BANDS) or (None, None)
    return CubeContents(
        source=source,
        wavelengths=_of_bands("wavelengths", key, wavelengths, n_bands),
        wavelength_units=units,
        good_bands=_of_bands("bad-band flags", key, good_bands, n_bands),
        no_data=_number(_attribute(members[key].attributes, _NO_DATA)),
    )


def _of_bands(what: str, key: str, vector: Sequence[float] | None, n_bands: int) -> Sequence[float] | None:
    """Return a vector found by its name if it has one value a band: else it may be about something else."""
    if vector is None or len(vector) == n_bands:
        return vector
    _log.warning(
        "Left out the %d %s found beside the array `%s` of %d bands.", len(vector), what, key, n_bands
    )
    return None


def _wavelengths(members: Mapping[str, Member], key: str) -> tuple[Sequence[float], str | None] | None:
    found = _vector(members, key, _WAVELENGTHS)
    if found is None:
        return None
    vector, attributes = found
    units = _attribute(attributes, ("units", "unit", *_UNITS)) or _attribute(members[key].attributes, _UNITS)
    return vector, units if isinstance(units, str) else None


def _vector(
    members: Mapping[str, Member], key: str, names: Sequence[str]
) -> tuple[Sequence[float], Mapping[str, Any]] | None:
    """Return a vector named so and its attributes.

    It is the array's attribute, its neighbour, one at the root, or the only one of that name in the file.
    """
    attribute = _attribute(members[key].attributes, names)
    if isinstance(attribute, np.ndarray | list | tuple) and is_numeric(np.asarray(attribute).dtype):
        return np.asarray(attribute, dtype=np.float64).ravel().tolist(), {}
    group = key.rpartition("/")[0]
    for name in names:
        found = {
            other.rpartition("/")[0]: member
            for other, member in members.items()
            if other.rpartition("/")[2].lower() == name
            and max(member.shape, default=0) == np.prod(member.shape)
        }
        member = (
            found.get(group) or found.get("") or (next(iter(found.values())) if len(found) == 1 else None)
        )
        if member is not None:
            return np.asarray(member.load(), dtype=np.float64).ravel().tolist(), member.attributes
    return None


def _attribute(attributes: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first attribute named so in any case, bytes as text; None if there is none."""
    lower = {name.lower(): value for name, value in attributes.items()}
    for name in names:
        if name in lower:
            value = lower[name]
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return None


def _number(value: Any) -> float | None:
    """Return a scalar or an array of one as a number; None for anything else."""
    array = np.asarray(value)
    return float(array.reshape(-1)[0].real) if array.size == 1 and is_numeric(array.dtype) else None
