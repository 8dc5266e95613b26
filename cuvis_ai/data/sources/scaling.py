"""`Scaling`: how a file's stored numbers become values of a unit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """value = gain · stored + offset, as a file declares it."""

    gain: tuple[float, ...] = (1.0,)
    """One factor, or one a band."""
    offset: tuple[float, ...] = (0.0,)
    """One offset, or one a band."""
    unit: str | None = None
    """The values' unit, in the file's words; None: undeclared."""
    known: bool = True
    """Whether there is a file that would declare it; False: an array in memory."""

    def fits(self, n_bands: int) -> bool:
        """Return whether there are numbers for so many bands, and they can be used."""
        sizes = {len(self.gain), len(self.offset)}
        return (
            sizes <= {1, n_bands} and bool(np.isfinite([*self.gain, *self.offset]).all()) and all(self.gain)
        )

    def scaled(self, stored: NDArray[Any], bands: NDArray[np.int64], n_bands: int) -> NDArray[np.float64]:
        """Return values (h, w, k) of the stored numbers of some of `n_bands` bands."""
        gain, offset = (np.broadcast_to(part, n_bands)[bands] for part in (self.gain, self.offset))
        return np.asarray(stored * gain + offset, np.float64)

    def of_bands(self, bands: Sequence[int]) -> Self:
        """Return what is declared of some of the bands, in their order."""

        def of(numbers: tuple[float, ...]) -> tuple[float, ...]:
            return numbers if len(numbers) == 1 else tuple(numbers[band] for band in bands)

        return replace(self, gain=of(self.gain), offset=of(self.offset))

    @property
    def converts(self) -> bool:
        """Whether values are others than the stored numbers."""
        return set(self.gain) != {1.0} or set(self.offset) != {0.0}

    def unlike(self, other: "Scaling", *, applied: bool) -> str | None:
        """Return the remedy if two files' numbers do not mean the same; both are of as many bands.

        Args:
            other: what the other file declares.
            applied: whether scale factors are applied, so that they may differ, but for the unit.
        """
        if not (self.known and other.known):
            return None
        if len({self.unit, other.unit} - {None}) > 1:
            return "Convert one of them"
        pairs = ((self.gain, other.gain), (self.offset, other.offset))
        same = applied or all(
            len({len(one), len(another)} - {1}) < 2 and np.allclose(one, another, rtol=1e-6, atol=0)
            for one, another in pairs
        )
        return None if same else "Pass `scaled=True` to apply what each declares"

    def __str__(self) -> str:
        unit = "" if self.unit is None else f" in {self.unit}"
        return f"gain {_text(self.gain)} and offset {_text(self.offset)}{unit}"


def _text(numbers: tuple[float, ...]) -> str:
    return f"{numbers[0]:.6g}" + (f" … {numbers[-1]:.6g}" if len(set(numbers)) > 1 else "")
