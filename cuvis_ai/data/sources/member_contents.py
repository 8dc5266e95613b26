"""What a file of named arrays says about its cube: axes, wavelengths, bad bands, no-data."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cuvis_ai.data.sources.axes import INTERLEAVES, WAVELENGTHS, axis_letter, named_axes
from cuvis_ai.data.sources.contents import CubeContents, Validity
from cuvis_ai.data.sources.decoding import decoding
from cuvis_ai.data.sources.members import Member, MemberSource, chosen_key, is_numeric, without_single_axes
from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.errors import CubeFormatError

_GOOD_BANDS = ("bbl", "good_wavelengths", "good_bands", "good_band")
_NO_DATA = ("_fillvalue", "missing_value", "no_data", "nodata", "no_data_value", "data_ignore_value")
_UNITS = ("wavelength_units", "wavelength_unit")
_CALLED = {"scaled": "scale factors and offsets"}
"""What messages call a field that an option with another name replaces."""
_SPECTRAL_UNITS = ("nm", "um", "µm", "μm", "nanomet", "micromet", "micron", "angstrom", "cm-1", "wavenumber")


def cube_contents(path: Path, members: Mapping[str, Member], key: str | None) -> CubeContents:
    """Return the cube under a key, or the only array with 3 axes, with what the file says about it.

    Axes of length 1 beside three longer ones, such as a time, are left out if a key is given or no array has
    3 axes.

    Raises:
        CubeFormatError: there is no such array, or several and no key.
    """
    if key is not None or not any(len(member.shape) == 3 for member in members.values()):
        members = {one: without_single_axes(member) for one, member in members.items()}
    name = chosen_key(path, members, key, lambda shape: len(shape) == 3, "a cube (3 axes)")
    member = members[name]
    told = _Told(path, members, name)
    axes = told.axes()
    wavelengths, units = told.wavelengths(axes)
    first, second, third = member.shape
    meant = _meant(member)
    source = MemberSource(load=member.load, shape=(first, second, third), declared=member.dtype, meant=meant)
    return CubeContents(
        source=source,
        axes=axes,
        wavelengths=wavelengths,
        wavelength_units=units,
        good_bands=told.vector(_GOOD_BANDS, "bad_bands")[0],
        validity=told.validity(meant),
        scaling=told.scaling(),
        faults=told.faults,
    )


def _meant(member: Member) -> "np.dtype[Any] | None":
    """Return the type of integers whose sign NetCDF's attribute `_Unsigned` turns round."""
    said = {"true": ("i", "u"), "false": ("u", "i")}.get(
        str(_attribute(member.attributes, ("_unsigned",))).lower()
    )
    if said is None or member.dtype is None or member.dtype.kind != said[0]:
        return None
    return np.dtype(f"{member.dtype.str[0]}{said[1]}{member.dtype.itemsize}")


@dataclass
class _Told:
    """What is said about one array of a file, and what of it could not be understood."""

    path: Path
    members: Mapping[str, Member]
    key: str
    faults: dict[str, str] = field(default_factory=dict)

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.members[self.key].attributes

    def axes(self) -> str | None:
        """The order of the axes by their names, the bands' being the wavelengths' one; or by `interleave`."""
        names: list[str | None] = list(self.members[self.key].dimensions)
        for vector in filter(None, map(self._placed, WAVELENGTHS)):
            [along] = vector.dimensions if len(vector.dimensions) == 1 else [None]
            if along is not None and along in names:
                at = names.index(along)
                names = [None if axis_letter(name) == "c" else name for name in names]
                names[at] = "band"
                break
        interleave = str(_attribute(self.attributes, ("interleave",))).strip().lower()
        return named_axes(names) or INTERLEAVES.get(interleave)

    def wavelengths(self, axes: str | None) -> tuple[Sequence[float] | None, str | None]:
        """Band centres and their unit, by the usual names, or along the bands' own axis."""
        names: tuple[str, ...] = WAVELENGTHS
        dimensions = self.members[self.key].dimensions
        along = dimensions[axes.index("c")] if axes and dimensions else None
        if along and _is_spectral(self._placed(along.lower())):
            names = (*WAVELENGTHS, along.lower())
        vector, attributes = self.vector(names, "wavelengths")
        units = _attribute(attributes, ("units", "unit", *_UNITS)) or _attribute(self.attributes, _UNITS)
        return vector, units if isinstance(units, str) else None

    def vector(self, names: Sequence[str], option: str) -> tuple[Sequence[float] | None, Mapping[str, Any]]:
        """A vector named so and its attributes: the array's attribute, or another array of the file."""
        attribute = _attribute(self.attributes, names)
        if isinstance(attribute, np.ndarray | list | tuple):
            return self._numbers(attribute, option), {}
        shape = self.members[self.key].shape
        for name in names:
            if (member := self._placed(name)) is None:
                continue
            n = math.prod(member.shape)
            if n not in shape:  # it is not even loaded, as a damaged file may give it any length
                self.faults[option] = f"expected {option}, one a band of {shape}, got {n}"
                continue
            try:
                with decoding(self.path):
                    return self._numbers(member.load(), option), member.attributes
            except CubeFormatError as err:
                self.faults[option] = str(err)
        return None, {}

    def _placed(self, name: str) -> Member | None:
        """The vector of a name: the array's neighbour, one at the root, or the only one in the file."""
        found = {
            other.rpartition("/")[0]: member
            for other, member in self.members.items()
            if other.rpartition("/")[2].lower() == name
            and max(member.shape, default=0) == math.prod(member.shape)
        }
        only = next(iter(found.values())) if len(found) == 1 else None
        return found.get(self.key.rpartition("/")[0]) or found.get("") or only

    def _numbers(self, values: Any, option: str) -> Sequence[float] | None:
        array = np.asarray(values)
        if not is_numeric(array.dtype) or array.dtype.kind == "c":
            called, got = _CALLED.get(option, option), array.ravel()[:3].tolist()
            self.faults[option] = f"expected numbers for its {called}, got {got!r:.100}"
            return None
        return array.astype(np.float64).ravel().tolist()

    def validity(self, meant: "np.dtype[Any] | None") -> Validity:
        """No-data values and limits, as stored numbers of the type that is meant."""
        least, most = (self._limit(name, meant) for name in ("valid_min", "valid_max"))
        limits = np.asarray(_attribute(self.attributes, ("valid_range",)))
        if limits.size == 2 and is_numeric(limits.dtype) and limits.ravel()[0] <= limits.ravel()[1]:
            least, most = (self._stored(limit, meant) for limit in limits.ravel())
        elif limits.dtype != object:  # it is there
            self.faults["no_data"] = f"expected the least and the most in `valid_range`, got {limits!s:.100}"
        return Validity(no_data=tuple(dict.fromkeys(self._no_data(meant))), least=least, most=most)

    def scaling(self) -> Scaling:
        """What the array's factor, offset and `units` say."""
        gain, offset = self._gains_and_offsets()
        unit = _attribute(self.attributes, ("units",))
        return Scaling(gain=gain, offset=offset, unit=unit if isinstance(unit, str) else None)

    def _gains_and_offsets(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """CF's `scale_factor` and `add_offset`; NEON's `Scale_Factor` is what values were multiplied by.

        One of each, or one a band.
        """
        names = ("scale_factor", "add_offset", "Scale_Factor")
        gain, offset, divisor = (
            tuple(self._numbers(self.attributes[name], "scaled") or ()) if name in self.attributes else ()
            for name in names
        )
        return gain or tuple(1 / one if one else 0.0 for one in divisor) or (1.0,), offset or (0.0,)

    def _no_data(self, meant: "np.dtype[Any] | None") -> Iterator[float]:
        for name in _NO_DATA:
            value = _attribute(self.attributes, (name,))
            if value is None:
                continue
            try:
                numbers = np.asarray(value, dtype=np.float64 if isinstance(value, str) else None)
            except ValueError:
                numbers = np.asarray(None)
            if not is_numeric(numbers.dtype):
                self.faults["no_data"] = f"expected a number for `{name}`, got {value!r:.100}"
                continue
            yield from (self._as_meant(number, meant) for number in numbers.ravel())

    def _limit(self, name: str, meant: "np.dtype[Any] | None") -> float | None:
        value = np.asarray(_attribute(self.attributes, (name,)))
        if value.size == 1 and is_numeric(value.dtype):
            return self._stored(value.reshape(-1)[0], meant)
        if value.dtype != object:  # it is there
            self.faults["no_data"] = f"expected a number for `{name}`, got {value!s:.100}"
        return None

    def _stored(self, limit: Any, meant: "np.dtype[Any] | None") -> float:
        """A limit in stored numbers: of real type beside scaled integers, it is in scaled units."""
        dtype = self.members[self.key].dtype
        gain, offset = self._gains_and_offsets()
        one = len(gain) == len(offset) == 1 and gain[0]
        if dtype is not None and dtype.kind in "iu" and np.asarray(limit).dtype.kind == "f" and one:
            return (float(limit) - offset[0]) / gain[0]
        return self._as_meant(limit, meant)

    def _as_meant(self, number: Any, meant: "np.dtype[Any] | None") -> float:
        """A number of the stored type as the type that is meant has its bits."""
        stored = self.members[self.key].dtype
        if meant is None or stored is None:
            return float(np.asarray(number).real)
        limits = np.iinfo(stored)
        if not limits.min <= number <= limits.max:  # it is written in the type that is meant
            return float(number)
        return float(np.asarray(int(number), stored.newbyteorder("=")).view(meant.newbyteorder("="))[()])


def _is_spectral(member: Member | None) -> bool:
    """Whether the coordinate along the bands holds wavelengths, rather than numbers of bands."""
    if member is None:
        return False
    said = [
        str(_attribute(member.attributes, (name,))).lower()
        for name in ("standard_name", "long_name", "units")
    ]
    return any("wavelength" in text for text in said) or said[-1].startswith(_SPECTRAL_UNITS)


def _attribute(attributes: Mapping[str, Any], names: Sequence[str]) -> Any:
    """Return the first attribute named so in any case, bytes as text; None if there is none."""
    lower = {name.lower(): value for name, value in attributes.items()}
    for name in names:
        if name in lower:
            value = lower[name]
            return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return None
