"""`Scaling`: how a file's stored numbers become values of a unit."""

from dataclasses import dataclass
from typing import Any

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

    def equals(self, other: "Scaling") -> bool:
        """Return whether two files' numbers mean the same, but for their units; both are of as many bands."""
        gains = np.broadcast_arrays(self.gain, other.gain)
        offsets = np.broadcast_arrays(self.offset, other.offset)
        return all(np.allclose(one, another, rtol=1e-6, atol=0) for one, another in (gains, offsets))

    def __str__(self) -> str:
        unit = "" if self.unit is None else f" in {self.unit}"
        return f"gain {_text(self.gain)} and offset {_text(self.offset)}{unit}"


def _text(numbers: tuple[float, ...]) -> str:
    return f"{numbers[0]:.6g}" + (f" … {numbers[-1]:.6g}" if len(set(numbers)) > 1 else "")
