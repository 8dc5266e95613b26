"""Scenes in four quarters: their moments by class, and detectors on halves that were not chosen from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import Cube
from cuvis_ai.data.cube_batch import window_batch
from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.data.mask_sources import MaskSource
from cuvis_ai.data.opened_cube import opened
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.functional.detection import Ranking, ranking
from cuvis_ai.functional.eigen import whitening
from cuvis_ai.stats import Moments, MomentsByClass, ScoreDistribution

STRIP_BYTES = 32 << 20
"""What a strip of rows takes as float32."""


class Half(NamedTuple):
    """One half of each scene, and what is left of it."""

    name: str
    own: tuple[int, int]
    """Its quarters, numbered row by row."""
    other: tuple[int, int]


HALVES = (
    Half("top", (0, 1), (2, 3)),
    Half("bottom", (2, 3), (0, 1)),
    Half("left", (0, 2), (1, 3)),
    Half("right", (1, 3), (0, 2)),
)


@dataclass(frozen=True, kw_only=True)
class Detector:
    """RX on some bands, with the moments of the half that is scored."""

    bands: Tensor
    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, moments: Moments, bands: Sequence[int]) -> "Detector":
        """Return the detector of these moments, in these bands."""
        chosen = torch.tensor(list(bands))
        covariance = moments.covariance()[chosen][:, chosen]
        factor, _ = whitening(covariance, 0.0, torch.float32, moments.mean[chosen])
        return cls(bands=chosen, mean=moments.mean[chosen], factor=factor)

    def scores(self, pixels: Tensor) -> Tensor:
        """Return the squared Mahalanobis distances (n, 1) of pixels (n, c)."""
        centred = pixels[:, self.bands].double() - self.mean
        return (centred @ self.factor.T).square().sum(1, keepdim=True).float()


class Scene:
    """One scene, read in strips of rows, twice at most.

    Args:
        path: its file.
        mask: where its anomalies are; None: not known.
        reading: how it is read.

    Attributes:
        cut: row and column of the cuts: the middle, or the median of the anomalies where a half had none.
        quarters: the moments of each.
        wavelengths: band centres in nm; None where they are not known.
    """

    def __init__(self, path: Path, mask: MaskSource | None, reading: ReadingOptions) -> None:
        self.reading = reading
        self.cube: Cube = opened(path, reading)
        self.bands = BandSelection.of(self.cube, reading)
        nm = self.bands.wavelengths
        self.wavelengths: list[float] | None = None if nm is None else [float(one) for one in nm]
        size = (self.cube.shape[0], self.cube.shape[1])
        self.mask: NDArray[np.bool_] | None = None if mask is None else mask(size)
        self.cut = tuple(_cut(self.mask, axis, size[axis]) for axis in (0, 1))
        self.quarters = [MomentsByClass() for _ in range(4)]
        for quarter, pixels, truth in self._parts():
            self.quarters[quarter].update(pixels, None, truth)

    def _parts(self) -> Iterator[tuple[int, Tensor, Tensor | None]]:
        """Yield the valid pixels of parts of quarters, with what is known of them."""
        h, w = self.cube.shape[:2]
        rows = max(1, STRIP_BYTES // (4 * w * len(self.bands.kept)))
        middle, centre = self.cut
        for start, end in ((0, middle), (middle, h)):
            for top in range(start, end, rows):
                window = Window(top, 0, min(rows, end - top), w)
                batch = window_batch(self.cube, window, self.bands, self.reading)
                valid = torch.isfinite(batch["cube"]).all(1)
                valid = valid & batch["valid"] if "valid" in batch else valid
                anomalous = None
                if self.mask is not None:
                    here = self.mask[window.slices]
                    anomalous = torch.from_numpy(np.ma.filled(here, False).copy())[None]
                    valid = valid & ~torch.from_numpy(np.ma.getmaskarray(here).copy())[None]
                for side, columns in enumerate((slice(0, centre), slice(centre, w))):
                    chosen = valid[..., columns].flatten()
                    pixels = pixels_of(batch["cube"][..., columns])[chosen]
                    truth = None if anomalous is None else anomalous[..., columns].flatten()[chosen]
                    yield 2 * (start > 0) + side, pixels, truth

    def rankings(
        self, detectors: Mapping[tuple[Half, str, int], Detector]
    ) -> dict[tuple[Half, str, int], Ranking]:
        """Return how well detectors rank the half that they were not chosen from; each by half, method and k.

        Those whose half lacks a class are left out.
        """
        found = {key: ScoreDistribution() for key in detectors}
        for quarter, pixels, truth in self._parts():
            for key, detector in detectors.items():
                if quarter in key[0].other:
                    found[key].update(detector.scores(pixels), None, truth)
        ranked = {key: ranking(one.curve()) for key, one in found.items()}
        return {key: one for key, one in ranked.items() if one is not None}


def merged(parts: Sequence[MomentsByClass]) -> MomentsByClass:
    """Return the moments of all parts together."""
    return reduce(lambda a, b: a.merge(b), parts)


def _cut(mask: NDArray[np.bool_] | None, axis: int, length: int) -> int:
    """Return where a scene is cut in two: the middle, or among the anomalies if one half would have none."""
    middle = length // 2
    if mask is None:
        return middle
    places = np.argwhere(np.ma.filled(mask, False))[:, axis]
    if not len(places) or (places.min() < middle <= places.max()):
        return middle
    return int(np.clip(np.median(places), 1, length - 1))
