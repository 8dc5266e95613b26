"""Wavelengths in nm from whatever unit a file uses."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from cuvis_ai.errors import CubeFormatError

Nanometres = npt.NDArray[np.float64]
"""Band centres in nm, (c,)."""

_LIGHT = 299792458.0
"""Speed of light in m/s; a frequency in GHz times a wavelength in nm is this number."""


def _times(factor: float) -> Callable[[Nanometres], Nanometres]:
    return lambda values: values * factor


def _over(numerator: float) -> Callable[[Nanometres], Nanometres]:
    return lambda values: numerator / values


_UNITS: dict[str, Callable[[Nanometres], Nanometres]] = {
    **dict.fromkeys(("nm", "nanometer", "nanometre"), _times(1.0)),
    **dict.fromkeys(("um", "µm", "μm", "micrometer", "micrometre", "micron"), _times(1e3)),
    **dict.fromkeys(("mm", "millimeter", "millimetre"), _times(1e6)),
    **dict.fromkeys(("cm", "centimeter", "centimetre"), _times(1e7)),
    **dict.fromkeys(("m", "meter", "metre"), _times(1e9)),
    **dict.fromkeys(("å", "angstrom", "ångström"), _times(0.1)),
    **dict.fromkeys(("wavenumber", "cm-1", "cm^-1", "1/cm"), _over(1e7)),
    **dict.fromkeys(("ghz", "gigahertz"), _over(_LIGHT)),
    **dict.fromkeys(("mhz", "megahertz"), _over(_LIGHT * 1e3)),
}
_UNDECLARED = ("", "unknown", "none", "undefined")
_NO_WAVELENGTHS = ("index", "band", "band number")


def _conversion(name: str) -> Callable[[Nanometres], Nanometres] | None:
    """Return how values of a unit become nm; its symbol may follow, as in "nanometers (nm)"."""
    word, _, symbol = name.replace("[", "(").partition("(")
    known = [
        _UNITS.get(one) or _UNITS.get(one.removesuffix("s")) for one in (word.strip(), symbol.strip(" )]"))
    ]
    return known[0] or known[1]


def nanometres(values: Sequence[float], units: str | None, where: str) -> Nanometres | None:
    """Return band centres in nm.

    The unit is taken as declared, in any case and number ("Nanometers", "um", "Microns", "Wavenumber").
    Undeclared, or declared by a word that names no unit, the values are nm if the largest is above 100,
    else µm, with a warning that says so. ENVI's unit "Index" means band numbers: there are no wavelengths.

    Args:
        values: band centres, (c,).
        units: the unit's name as the file writes it; None: undeclared.
        where: the file, for messages.

    Raises:
        CubeFormatError: a value is not finite in nm or below 0, or none is above 0.

    Example:
        >>> nanometres([0.4, 2.5], "Micrometers", "scene.hdr")
        array([ 400., 2500.])
    """
    centres = np.asarray(values, dtype=np.float64)
    name = (units or "").strip().lower()
    if name in _NO_WAVELENGTHS:
        return None
    convert = _conversion(name)
    if convert is None:
        factor, guess = (1.0, "nm") if centres.max(initial=0.0) > 100 else (1e3, "µm")
        declared = (
            "undeclared" if name in _UNDECLARED else f"declared as {units!r}, which names no unit known here"
        )
        warnings.warn(
            f"{where}: the wavelengths' unit is {declared}; taken as {guess}, since their largest value is "
            f"{centres.max(initial=0.0):g} (above 100: nm, else µm). Declare it in the file.",
            stacklevel=3,
        )
        convert = _times(factor)
    with np.errstate(divide="ignore"):
        centres = convert(centres)
    usable = np.isfinite(centres) & (centres >= 0)
    if not (usable.all() and (centres > 0).any()):  # PRISMA has 0 at bands that are not used
        band = int(usable.argmin())
        raise CubeFormatError(
            f"{where}: expected finite wavelengths from 0 on, not all 0, got {values[band]} {units or ''} at "
            f"band {band}."
        )
    return centres
