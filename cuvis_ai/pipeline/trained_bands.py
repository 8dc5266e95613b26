"""Which bands a graph was trained on, and whether a cube has the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cuvis_ai.errors import GraphError

TOLERANCE_NM = 1.0
"""Band centres further apart than this, or than half the way to the next band, are different bands."""


@dataclass(frozen=True)
class TrainedBands:
    """The bands that entered a graph in training.

    Attributes:
        wavelengths: band centres in nm; None if the data had none.
        indices: positions of these bands in the files, where some were dropped; None if not known.
    """

    wavelengths: tuple[float, ...] | None = None
    indices: tuple[int, ...] | None = None

    @classmethod
    def of(cls, wavelengths: Iterable[float] | None, indices: Iterable[int] | None) -> "TrainedBands":
        """Return bands from any numbers, such as a data module's."""
        return cls(
            None if wavelengths is None else tuple(float(nm) for nm in wavelengths),
            None if indices is None else tuple(int(i) for i in indices),
        )

    @classmethod
    def of_data(cls, datamodule: Any) -> "TrainedBands":
        """Return the bands of a data module that has been set up; foreign ones may not know any."""
        return cls.of(getattr(datamodule, "wavelengths", None), getattr(datamodule, "band_indices", None))

    def check(self, wavelengths: Sequence[float] | Tensor | None, where: str) -> None:
        """Raise a `GraphError` that shows both lists, unless the wavelengths are those of training.

        Nothing is checked where either is not known.
        """
        if self.wavelengths is None or wavelengths is None:
            return
        given = [float(nm) for nm in wavelengths]
        same = len(given) == len(self.wavelengths) and bool(
            ((_nm(given) - _nm(self.wavelengths)).abs() <= self._reach().clamp(max=TOLERANCE_NM)).all()
        )
        if not same:
            raise GraphError(
                f"{where}: expected the {len(self.wavelengths)} bands of training, "
                f"{_listed(self.wavelengths)}; got {len(given)}, {_listed(given)}. "
                f"Pass match_bands=True to take the nearest bands"
                + ("." if self.indices is None else ", or select the files' bands `graph.bands.indices`.")
            )

    def matched(self, cube: Tensor, wavelengths: Sequence[float] | Tensor | None) -> Tensor:
        """Return the cube's bands that are nearest to those of training, in their order.

        Raises:
            GraphError: wavelengths are missing, or some band of training is nowhere near.
        """
        if self.wavelengths is None or wavelengths is None:
            lacking = "the graph" if self.wavelengths is None else "the cube"
            raise GraphError(f"match_bands: expected wavelengths on both sides, {lacking} has none.")
        from scipy.optimize import linear_sum_assignment  # heavy; only other sensors' bands need it

        given, wanted = _nm(wavelengths), _nm(self.wavelengths)
        distance = (wanted[:, None] - given).abs()
        # Each band is taken once, such that the distances sum to the least.
        bands, partners = linear_sum_assignment(distance)
        missing = torch.ones(len(wanted), dtype=torch.bool)
        missing[bands] = distance[bands, partners] > self._reach()[bands]
        if bool(missing.any()):
            raise GraphError(
                f"match_bands: expected for each band of training one of its own within half the way to the "
                f"next, got none for {_listed(wanted[missing].tolist())}. The cube has "
                f"{_listed(given.tolist())}."
            )
        return cube[:, partners]

    def _reach(self) -> Tensor:
        """Return half the distance from each band to the nearest other wavelength, in nm."""
        centres = _nm(self.wavelengths or ())
        distance = (centres[:, None] - centres).abs()
        distance[distance == 0] = torch.inf
        half = distance.amin(1) / 2 if len(centres) else centres
        return torch.where(half.isinf(), TOLERANCE_NM, half)


def _nm(wavelengths: Iterable[float] | Tensor) -> Tensor:
    return torch.tensor([float(nm) for nm in wavelengths], dtype=torch.float64)


def _listed(wavelengths: Sequence[float]) -> str:
    """Return wavelengths as text; of many the first and the last few."""
    shown = [f"{nm:.1f}" for nm in wavelengths]
    if len(shown) > 12:
        shown = [*shown[:5], "…", *shown[-3:]]
    return "[" + ", ".join(shown) + "] nm"
