"""Files that hold several named arrays: which one is the cube, and what the others say about it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.contents import Array, CubeContents
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
    load: Callable[..., Array]
    """Reads the box of three slices that it is called with; all, where it is called with none."""
    dtype: "np.dtype[Any] | None" = None
    """Its number type, in any byte order; None: known when it is decoded only."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What the file says about it."""
    dimensions: tuple[str | None, ...] = ()
    """Names of its axes, where the file has them."""


@dataclass(frozen=True, kw_only=True)
class MemberSource:
    """An array of a file as a cube; it can be pickled if its `load` can.

    Args:
        load: reads a box of the array; with no arguments, all of it.
        shape: (h, w, c).
        order: the axes of `shape` as the array has them, such as (2, 0, 1) for (c, h, w).
        declared: its number type; None: that of a decoded number.
    """

    load: Callable[..., Array]
    shape: tuple[int, int, int]
    order: tuple[int, int, int] = (0, 1, 2)
    declared: "np.dtype[Any] | None" = None

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The number type; asking decodes the file where it is not declared."""
        return self.load(*[slice(0, 1)] * 3).dtype if self.declared is None else self.declared

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return a copy of one box."""
        box = [(rows, columns, bands)[axis] for axis in self.order]
        return self.load(*box).transpose(np.argsort(self.order))


def decoded(decode: Callable[[Path, str], Array], path: Path, key: str, *box: slice) -> Array:
    """Return a box of an array that can only be decoded as a whole; without a box, all of it.

    The array of the last box is cached, so that reading a cube block by block decodes it once, and going
    through a folder of such cubes holds one at a time.

    Args:
        decode: returns the array under a key of a file; a function of a module, so that it can be pickled.
        path: the file.
        key: which array of the file.
        box: a slice an axis.
    """
    if not box:
        return decode(path, key)
    return _last_decoded(decode, path, key, path.stat().st_mtime_ns)[box].copy(order="K")


@lru_cache(maxsize=1)
def _last_decoded(decode: Callable[[Path, str], Array], path: Path, key: str, changed: int) -> Array:
    """Return the whole array; `changed`, the file's time stamp, makes a rewritten file a new one."""
    return decode(path, key)


def is_numeric(dtype: "np.dtype[Any] | None") -> bool:
    """Tell whether a type holds numbers that a cube or a mask may have."""
    return dtype is not None and dtype.kind in "biufc"


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


def cube_contents(path: Path, members: Mapping[str, Member], key: str | None) -> CubeContents:
    """Return the cube under a key, or the only array with 3 axes, with what the file says about it.

    Raises:
        CubeFormatError: there is no such array, or several and no key.
    """
    name = chosen_key(path, members, key, lambda shape: len(shape) == 3, "a cube (3 axes)")
    member = members[name]
    wavelengths, units = _wavelengths(members, name) or (None, None)
    order = _axis_order(member, wavelengths)
    h, w, c = (member.shape[i] for i in np.argsort(order))
    good_bands, _ = _vector(members, name, _GOOD_BANDS) or (None, None)
    return CubeContents(
        source=MemberSource(load=member.load, shape=(h, w, c), order=order, declared=member.dtype),
        wavelengths=_of_bands("wavelengths", name, wavelengths, c),
        wavelength_units=units,
        good_bands=_of_bands("bad-band flags", name, good_bands, c),
        no_data=_number(_attribute(member.attributes, _NO_DATA)),
    )


def _axis_order(member: Member, wavelengths: Sequence[float] | None) -> tuple[int, int, int]:
    """Return which of (h, w, c) each axis of the array is, such as (2, 0, 1) for (c, h, w).

    The bands are the last axis, unless an axis is named for them or the file's wavelengths fit another
    axis and not the last.
    """
    fitting = [i for i, name in enumerate(member.dimensions) if name and name.lower() in _BAND_DIMENSIONS]
    if len(fitting) != 1 and wavelengths is not None:
        fitting = [i for i, n in enumerate(member.shape) if n == len(wavelengths)]
    order = [0, 1]
    order.insert(fitting[0] if len(fitting) == 1 else 2, 2)
    return order[0], order[1], order[2]


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
