"""The cube that a picture shows, and what pictures collect of batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor

from cuvis_ai.leaf.reading import View
from cuvis_ai.training.visualizations.drawing.composite import Image, colour_bands, stretched

Array = NDArray[Any]


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
    """Chooses the cube with the most anomalous pixels, the first of them; the first where none is known."""

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
