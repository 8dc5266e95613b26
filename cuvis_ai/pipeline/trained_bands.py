"""Which bands a graph was trained on, and whether a cube has the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cuvis_ai.errors import GraphError

TOLERANCE_NM = 1.0
"""Band centres further apart than this are different bands."""


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
        same = len(given) == len(self.wavelengths) and all(
            abs(a - b) <= TOLERANCE_NM for a, b in zip(given, self.wavelengths, strict=True)
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
        given = torch.as_tensor([float(nm) for nm in wavelengths], dtype=torch.float64)
        wanted = torch.tensor(self.wavelengths, dtype=torch.float64)
        distance, nearest = (wanted[:, None] - given).abs().min(1)
        # Half the spacing of the training bands: nearer to this band than to its neighbours.
        reach = wanted.diff().abs().median() / 2 if len(wanted) > 1 else torch.tensor(TOLERANCE_NM)
        if bool((distance > reach).any()):
            lacking_nm = wanted[distance > reach].tolist()
            raise GraphError(
                f"match_bands: expected a band within {float(reach):.1f} nm of each band of training, got "
                f"none for {_listed(lacking_nm)}. The cube has {_listed(given.tolist())}."
            )
        return cube[:, nearest]


def _listed(wavelengths: Sequence[float]) -> str:
    return "[" + ", ".join(f"{nm:.1f}" for nm in wavelengths) + "] nm"
