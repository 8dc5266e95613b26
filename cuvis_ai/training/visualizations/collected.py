"""What the pictures keep of an epoch, in bounded memory, and the numbers that they draw of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.functional.components import explained_variance
from cuvis_ai.functional.detection import average_precision, best_f1
from cuvis_ai.leaf.bases import View
from cuvis_ai.node.base import HasComponents
from cuvis_ai.stats import ChannelMoments, Moments, ScoreDistribution
from cuvis_ai.training.visualizations.drawing.composite import Image, colour_bands, stretched
from cuvis_ai.training.visualizations.drawing.curves import OperatingPoint
from cuvis_ai.training.visualizations.drawing.histograms import bin_edges
from cuvis_ai.training.visualizations.drawing.mean_spectra import Spectra

Array = NDArray[Any]

_MOST_POINTS = 4000
"""Points of a curve that are drawn: more than a picture has columns."""


def array(tensor: Tensor) -> Array:
    """Return a tensor's values on the CPU."""
    # NumPy has no bfloat16.
    plain = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    values: Array = plain.detach().cpu().numpy()
    return values


class Classes(NamedTuple):
    """The valid pixels of a batch by their true class; all are normal where the truth is not known."""

    normal: Bool[Tensor, " n"]
    anomalous: Bool[Tensor, " n"]


def classes_of(view: View, batch: Mapping[str, Any], like: Tensor) -> Classes:
    """Return the classes of the pixels of `like` (b, k, h, w)."""
    shape = (like.shape[0], *like.shape[2:])
    valid = torch.ones(shape, dtype=torch.bool, device=like.device) if view.valid is None else view.valid
    mask = batch.get("mask")
    truth = torch.zeros_like(valid) if mask is None else mask.bool()
    return Classes((valid & ~truth).flatten(), (valid & truth).flatten())


@dataclass(frozen=True)
class Scene:
    """One cube, ready to be drawn.

    Attributes:
        image: (h, w, 3) in colour; light grey where there are no data.
        title: what its colours are.
        values: (h, w, k) that left the parent; NaN where there are no data.
        mask: (h, w), True = anomaly; None where the truth is not known.
        name: the cube's name, if it has one.
    """

    image: Image
    title: str
    values: Array
    mask: NDArray[np.bool_] | None
    name: str

    def arrays(self) -> dict[str, Array]:
        """Return what is drawn, by name; the image in 8 bits."""
        drawn: dict[str, Array] = {
            "image": (self.image * 255).round().astype(np.uint8),
            "values": self.values,
        }
        if self.mask is not None:
            drawn["mask"] = self.mask
        return {**drawn, "name": np.asarray(self.name)}


class SceneChoice:
    """Keeps the cube with the most anomalous pixels, the first of them; the first where none is known."""

    def __init__(self) -> None:
        self.chosen: Scene | None = None
        self._most = -1

    def offer(self, values: Tensor, view: View, batch: Mapping[str, Any]) -> None:
        """Look at the cubes of a batch, of which `values` (b, k, h, w) left the parent."""
        anomalous = classes_of(view, batch, values).anomalous.view(len(values), -1).sum(1)
        counts: list[int] = anomalous.tolist()
        best = max(range(len(counts)), key=counts.__getitem__)
        if counts[best] > self._most:
            self._most = counts[best]
            self.chosen = _scene(best, values, view, batch)


def _scene(i: int, values: Tensor, view: View, batch: Mapping[str, Any]) -> Scene:
    cube, axis = batch["cube"][i], batch.get("wavelengths")
    bands = colour_bands(cube.shape[0], None if axis is None else array(axis))
    # Three bands alone are copied from the device.
    shown = array(cube[list(bands.indices)].permute(1, 2, 0)).astype(np.float64)
    kept = array(values[i].permute(1, 2, 0)).copy()
    mask = array(batch["mask"][i]).astype(bool) if batch.get("mask") is not None else None
    if view.valid is not None:
        valid = array(view.valid[i])
        shown[~valid], kept[~valid] = np.nan, np.nan
        mask = None if mask is None else mask & valid
    names = batch.get("name") or [""] * len(values)
    return Scene(stretched(shown), bands.title, kept, mask, str(names[i]))


def collect_scores(scores: ScoreDistribution, values: Tensor, view: View, batch: Mapping[str, Any]) -> None:
    """Take in the scores (b, 1, h, w) of a batch."""
    normal, anomalous = classes_of(view, batch, values)
    scores.update(pixels_of(values), normal | anomalous, anomalous)


class Counts(NamedTuple):
    """Pixels by score and class."""

    edges: NDArray[np.float64]
    normal: NDArray[np.int64]
    anomalous: NDArray[np.int64]


def counts_of(scores: ScoreDistribution, bins: int) -> Counts:
    """Return how many scores fall into each bin, from the least score to the greatest."""
    edges = bin_edges(scores.low, scores.quantile(0.5), scores.high, bins)
    above = [scores.confusion(float(edge)) for edge in (-np.inf, *edges[1:-1], np.inf)]
    return Counts(edges, -np.diff([one.fp for one in above]), -np.diff([one.tp for one in above]))


class Quality(NamedTuple):
    """Precision over recall, thinned to what a picture can show."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    average_precision: float
    share: float
    best: OperatingPoint


def quality_of(scores: ScoreDistribution) -> Quality | None:
    """Return precision and recall at all thresholds; None where there is no anomaly."""
    curve = scores.curve()
    area, best = average_precision(curve), best_f1(curve)
    if area is None or best is None:
        return None
    tp, fp = curve.tp[1:].double(), curve.fp[1:].double()
    recall, precision = array(tp / tp[-1]), array(tp / (tp + fp))
    at_best = int((curve.thresholds > best.threshold).sum()) - 1
    label = f"best F1 {best.value:.3f}: score > {best.threshold:.3g}"
    point = OperatingPoint(float(recall[at_best]), float(precision[at_best]), label)
    # Where recall stays, precision only falls: the first and the last point say it all.
    rises = np.diff(recall, prepend=-1.0, append=2.0) > 0
    shown = np.flatnonzero(rises[1:] | rises[:-1])
    if len(shown) > _MOST_POINTS:
        shown = shown[np.linspace(0, len(shown) - 1, _MOST_POINTS).round().astype(int)]
    share = float(tp[-1] / (tp[-1] + fp[-1]))
    return Quality(recall[shown], precision[shown], area, share, point)


def spectra_of(moments: ChannelMoments) -> Spectra | None:
    """Return mean and standard deviation (ddof = 0) of a class; None without pixels."""
    if moments.count == 0:
        return None
    return Spectra(array(moments.mean), array(moments.variance(ddof=0).sqrt()), moments.count)


def variance_shares(parent: HasComponents, entering: ChannelMoments, scores: Moments) -> Array:
    """Return the share of the input's variance that each component explains, as the metric has it."""
    scale = parent.scale.detach().cpu().double()
    inverse = torch.where(scale > 0, 1.0 / scale, 0.0)
    covariance = inverse[:, None] * scores.covariance(ddof=0) * inverse
    components = parent.components.detach().cpu().double()
    return array(explained_variance(components, covariance, entering.variance(ddof=0).sum()).per_component)
