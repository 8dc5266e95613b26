"""Which bands a graph was trained on, in which scale, and whether a cube has the same. It needs no torch."""

import contextlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.sources.read_scale import ReadScale
from cuvis_ai.errors import GraphError

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)

TOLERANCE_NM = 1.0
"""Band centres further apart than this, or than half the way to the next band, are different bands."""


@dataclass(frozen=True)
class TrainedBands:
    """The bands that entered a graph in training.

    Attributes:
        wavelengths: band centres in nm; None if the data had none.
        indices: positions of these bands in the files, where some were dropped; None if not known.
        needed: which of these bands, numbered from 0, the graph needs; None for all.
        total: how many bands entered; where `needed` says which of them.
        scale: what their numbers stand for; None if not known, as of arrays and foreign data modules.
    """

    wavelengths: tuple[float, ...] | None = None
    indices: tuple[int, ...] | None = None
    needed: tuple[int, ...] | None = None
    total: int = 0
    scale: ReadScale | None = None

    @classmethod
    def of(
        cls,
        wavelengths: Iterable[float] | None,
        indices: Iterable[int] | None,
        scale: ReadScale | None = None,
    ) -> "TrainedBands":
        """Return bands from any numbers, such as a data module's."""
        return cls(
            None if wavelengths is None else tuple(float(nm) for nm in wavelengths),
            None if indices is None else tuple(int(i) for i in indices),
            scale=scale if isinstance(scale, ReadScale) and scale.declared.known else None,
        )

    @classmethod
    def of_data(cls, datamodule: Any) -> "TrainedBands":
        """Return the bands of a data module that has been set up; foreign ones may not know any."""
        wavelengths, indices, scale = (
            getattr(datamodule, name, None) for name in ("wavelengths", "band_indices", "scale")
        )
        return cls.of(wavelengths, indices, scale)

    def check_data(self, datamodule: Any, held: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the bands of a data module that has been set up, as text.

        Args:
            datamodule: the data module.
            held: what this returned in the run that goes on; None for a run from the start.

        Raises:
            GraphError: they are others than in training, or than those that are held, or of another scale.
        """
        given = self.of_data(datamodule)
        self.check(given.wavelengths, "data module")
        self.check_scale(given.scale, "data module")
        if held is not None:
            try:
                # Earlier versions held no scale.
                scale = ReadScale.of_plain(json.loads(held.get("scale", "null")))
                before = self.of(json.loads(held["wavelengths"]), json.loads(held["indices"]), scale)
            except (KeyError, TypeError, ValueError) as err:
                raise GraphError(f"checkpoint: expected bands, got changed ones: {err!r:.100}") from err
            before.check(given.wavelengths, "data module")
            before.check_scale(given.scale, "data module")
            if None not in (before.indices, given.indices) and before.indices != given.indices:
                raise GraphError(
                    f"data module: expected the files' bands {before.indices}, got {given.indices}."
                )
        return {
            "wavelengths": json.dumps(given.wavelengths),
            "indices": json.dumps(given.indices),
            "scale": "null" if given.scale is None else given.scale.text,
        }

    def check_scale(self, given: ReadScale | None, where: str) -> None:
        """Raise a `GraphError` unless numbers of all these bands, or of the needed, stand for what they did.

        Nothing is checked where either is not known.
        """
        if self.scale is None or given is None:
            return
        total = self.total or len(self.wavelengths or self.indices or ())
        if self.needed is None or not self.scale.declared.fits(total):
            self.scale.check(given, where)
        else:
            self.scale.of_bands(self.needed).check(given, where)

    def check(self, wavelengths: "Sequence[float] | Tensor | None", where: str) -> None:
        """Raise a `GraphError` that shows both lists, unless the wavelengths are those of training.

        Nothing is checked where either is not known.
        """
        if wavelengths is None or self._are_those_of_training(wavelengths):
            return
        wanted, given = self.wavelengths or (), [float(nm) for nm in wavelengths]
        raise GraphError(
            f"{where}: expected the {len(wanted)} bands of training, {_listed(wanted)}; got {len(given)}, "
            f"{_listed(given)}. Pass match_bands=True to take the nearest bands"
            + ("." if self.indices is None else ", or select the files' bands `graph.bands.indices`.")
        )

    def _are_those_of_training(self, wavelengths: "Iterable[float] | Tensor") -> bool:
        """Whether bands have the wavelengths of training, as far as these are known."""
        if self.wavelengths is None:
            return True
        given, wanted = _nm(wavelengths), _nm(self.wavelengths)
        reach = np.minimum(self._reach(), TOLERANCE_NM)
        return len(given) == len(wanted) and bool((np.abs(given - wanted) <= reach).all())

    def of_needed(self, needed: Sequence[int], total: int) -> "TrainedBands":
        """Return these bands with the note which of them a graph needs, of how many."""
        return replace(self, needed=tuple(needed), total=total)

    @property
    def _needed_alone(self) -> "TrainedBands":
        """The bands that the graph needs, as if no others had entered."""
        needed = self.needed or ()
        return TrainedBands(
            None if self.wavelengths is None else tuple(self.wavelengths[i] for i in needed),
            needed if self.indices is None else tuple(self.indices[i] for i in needed),
        )

    def positions(
        self, n_bands: int, good: Sequence[int], wavelengths: Sequence[float] | None, where: str
    ) -> list[int]:
        """Return which bands of a file the graph needs; a file may lack the others of training.

        Args:
            n_bands: how many bands the file has.
            good: positions of those that it does not call bad, from 0.
            wavelengths: centres of all its bands in nm; None: unknown.
            where: subject of the message.

        Raises:
            GraphError: the file does not have their wavelengths.
        """
        if self.needed is None:
            return self._positions_of_all(n_bands, good, wavelengths, where)
        if wavelengths is not None and self.wavelengths is not None:
            # A camera of these bands alone is as good.
            with contextlib.suppress(GraphError):
                return self._needed_alone._positions_of_all(n_bands, good, wavelengths, where)
        found = self._positions_of_all(n_bands, good, wavelengths, where)
        return [found[i] for i in self.needed] if len(found) == self.total else found

    def _positions_of_all(
        self, n_bands: int, good: Sequence[int], wavelengths: Sequence[float] | None, where: str
    ) -> list[int]:
        """Return which bands of a file are those of training.

        They are where they were in the training files, if the file has as many bands and these are of the
        same wavelengths, as far as they are known; or else the file's good bands.

        Args:
            n_bands: how many bands the file has.
            good: positions of those that it does not call bad, from 0.
            wavelengths: centres of all its bands in nm; None: unknown.
            where: subject of the message.

        Raises:
            GraphError: neither has the wavelengths of training.
        """
        as_trained = self.indices is not None and max(self.indices, default=0) < n_bands
        candidates = [list(self.indices or ())] if as_trained else []
        for positions in (*candidates, list(good)):
            if wavelengths is None or self._are_those_of_training([wavelengths[i] for i in positions]):
                unchecked = wavelengths is None or self.wavelengths is None
                if unchecked and positions != list(good) and n_bands > max(positions) + 1:
                    _log.warning(
                        "%s: has %d bands, of which those at the positions of training, up to %d, are read: "
                        "without wavelengths on both sides it is not known whether they are the same.",
                        *(where, n_bands, max(positions)),
                    )
                return positions
        self.check([wavelengths[i] for i in good] if wavelengths is not None else None, where)
        return list(good)

    def nearest(self, wavelengths: "Iterable[float] | Tensor | None") -> list[int]:
        """Return, for each band of training, which of these wavelengths is the nearest; each is taken once.

        Raises:
            GraphError: wavelengths are missing, or some band of training is nowhere near.
        """
        if self.wavelengths is None or wavelengths is None:
            lacking = "the graph" if self.wavelengths is None else "the cube"
            raise GraphError(f"match_bands: expected wavelengths on both sides, {lacking} has none.")
        from scipy.optimize import linear_sum_assignment  # heavy; only other sensors' bands need it

        given, needed = (
            _nm(wavelengths),
            list(range(len(self.wavelengths)) if self.needed is None else self.needed),
        )
        wanted, reach = _nm(self.wavelengths)[needed], self._reach()[needed]
        distance = np.abs(wanted[:, None] - given)
        # Such that the distances sum to the least.
        bands, partners = linear_sum_assignment(distance)
        missing = np.ones(len(wanted), dtype=bool)
        missing[bands] = distance[bands, partners] > reach[bands]
        if missing.any():
            raise GraphError(
                f"match_bands: expected for each band of training one of its own within half the way to the "
                f"next, got none for {_listed(wanted[missing].tolist())}. The cube has "
                f"{_listed(given.tolist())}."
            )
        return [int(partner) for partner in partners]

    def _reach(self) -> NDArray[np.float64]:
        """Return half the distance from each band to the nearest other wavelength, in nm."""
        centres = _nm(self.wavelengths or ())
        distance = np.abs(centres[:, None] - centres)
        distance[distance == 0] = np.inf
        half = distance.min(1) / 2 if len(centres) else centres
        return np.where(np.isinf(half), TOLERANCE_NM, half)


def _nm(wavelengths: "Iterable[float] | Tensor") -> NDArray[np.float64]:
    return np.array([float(nm) for nm in wavelengths], dtype=np.float64)


def _listed(wavelengths: Sequence[float]) -> str:
    """Return wavelengths as text; of many the first and the last few."""
    shown = [f"{nm:.1f}" for nm in wavelengths]
    if len(shown) > 12:
        shown = [*shown[:5], "…", *shown[-3:]]
    return "[" + ", ".join(shown) + "] nm"
