"""Files that hold several named arrays, and which one of them is meant."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.axes import axis_letter
from cuvis_ai.data.sources.contents import Array
from cuvis_ai.errors import CubeFormatError


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


def upright(member: Member) -> Member:
    """Return an image whose axes are named columns, rows as rows, columns; any other array as it is."""
    if [axis_letter(name) for name in member.dimensions] != ["w", "h"]:
        return member
    load = partial(_transposed, member.load)
    return replace(member, shape=member.shape[::-1], dimensions=member.dimensions[::-1], load=load)


def without_single_axes(member: Member) -> Member:
    """Return an array of three axes and some of length 1 without these; any other array as it is."""
    longer = tuple(i for i, n in enumerate(member.shape) if n != 1)
    if len(longer) != 3 or len(member.shape) == 3:
        return member
    return replace(
        member,
        shape=tuple(member.shape[i] for i in longer),
        dimensions=tuple(member.dimensions[i] for i in longer if member.dimensions),
        load=partial(_squeezed, member.load, len(member.shape), longer),
    )


def _squeezed(load: Callable[..., Array], n_axes: int, longer: tuple[int, ...], *box: slice) -> Array:
    parts = [slice(0, 1)] * n_axes
    for i, part in zip(longer, box, strict=False):
        parts[i] = part
    single = tuple(i for i in range(n_axes) if i not in longer)
    return load(*(parts if box else ())).squeeze(single)


def _transposed(load: Callable[..., Array], *box: slice) -> Array:
    return load(*box[::-1]).T


@dataclass(frozen=True, kw_only=True)
class MemberSource:
    """An array of a file as a cube; it can be pickled if its `load` can.

    Args:
        load: reads a box of the array; with no arguments, all of it.
        shape: its three axes.
        declared: its number type; None: that of a decoded number.
        meant: the number type as which the stored bits are to be read; None: that in which they are stored.
    """

    load: Callable[..., Array]
    shape: tuple[int, int, int]
    declared: "np.dtype[Any] | None" = None
    meant: "np.dtype[Any] | None" = None

    @property
    def dtype(self) -> "np.dtype[Any]":
        """The number type; asking decodes the file where it is not declared."""
        if self.meant is not None:
            return self.meant
        return self.load(*[slice(0, 1)] * 3).dtype if self.declared is None else self.declared

    def read(self, rows: slice, columns: slice, bands: slice) -> Array:
        """Return a copy of one box."""
        values = self.load(rows, columns, bands)
        return values if self.meant is None else values.view(self.meant)


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
    listing = ", ".join(f"`{name}` {member.shape}" for name, member in list(members.items())[:20])
    listing += f", … ({len(members)} in all)" if len(members) > 20 else "" if members else "no numeric array"
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
