"""The scene that a picture shows, put together from its tiles, and what pictures collect of batches."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from cuvis_ai.leaf import View, Visualization
from cuvis_ai.leaf.scene_regions import checked_windows, extent_of, scene_of
from cuvis_ai.training.visualizations.drawing.composite import ColourChannels, Image, colour_bands, stretched

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
    """One scene, ready to be drawn.

    Attributes:
        image: (h, w, 3) in colour; light grey where there are no data.
        title: what its colours are.
        values: (h, w, k) that left the parent; NaN where there are no data.
        mask: (h, w), True = anomaly; None where the truth is not known.
        name: the scene's name, if it has one.
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


class _Tile(NamedTuple):
    """What is drawn of one cube, a scene or a part of one, without context and padding."""

    top: int
    left: int
    bands: Array
    """Those shown in colour (h, w, 3)."""
    values: Array
    """(h, w, k)"""
    counted: NDArray[np.bool_]
    """False at pixels without data (h, w)."""
    mask: NDArray[np.bool_] | None

    @property
    def place(self) -> tuple[slice, slice]:
        """Where the tile lies in its scene."""
        height, width = self.counted.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(frozen=True)
class _Tiles:
    """The tiles of one scene; `title` says what their colours are."""

    name: str
    title: str
    tiles: list[_Tile]

    def n_anomalous(self) -> int:
        """Return how many pixels are known to be anomalous."""
        return sum(int((one.mask & one.counted).sum()) for one in self.tiles if one.mask is not None)

    def scene(self) -> Scene:
        """Return the scene from its first row and column to the last that a tile shows."""
        known = all(one.mask is not None for one in self.tiles)
        mask = self._whole("mask", False) if known else None
        image = stretched(self._whole("bands", np.nan))
        return Scene(image, self.title, self._whole("values", np.nan), mask, self.name)

    def _whole(self, key: str, missing: float) -> Array:
        """Return an array of the scene, `missing` where no tile has a pixel that counts."""
        ends = [(rows.stop, columns.stop) for rows, columns in (one.place for one in self.tiles)]
        first: Array = getattr(self.tiles[0], key)
        whole = np.full((*np.max(ends, axis=0), *first.shape[2:]), missing, first.dtype)
        # Where tiles overlap, the first counts, as in metrics.
        for one in reversed(self.tiles):
            whole[one.place][one.counted] = getattr(one, key)[one.counted]
        return whole


class SceneChoice:
    """Chooses the scene with the most anomalous pixels, the first of them; the first where none is known.

    Cubes with `window` and `name` are tiles, of which their scene is put together; others are scenes. The
    tiles of a scene follow each other, as data modules yield them: values and three bands of two scenes,
    the chosen one and the current one, are held at most.
    """

    def __init__(self) -> None:
        self._best: _Tiles | None = None
        self._current: _Tiles | None = None
        self._most = -1

    @property
    def chosen(self) -> Scene | None:
        """The scene among all that were offered; None if there was none."""
        self._compare()
        return None if self._best is None else self._best.scene()

    def offer(self, values: Tensor, view: View, batch: Mapping[str, Any]) -> None:
        """Look at the cubes of a batch, of which `values` (b, k, h, w) left the parent."""
        if batch.get("window") is not None and batch.get("name") is not None:
            self._offer_tiles(values, view, batch)
            return
        anomalous = classes_of(view, batch, values).anomalous.view(len(values), -1).sum(1)
        counts: list[int] = anomalous.tolist()
        best = max(range(len(counts)), key=counts.__getitem__)
        if counts[best] > self._most:
            self._most = counts[best]
            names = batch.get("name") or [""] * len(values)
            window = (0, 0, *values.shape[2:])
            self._best = _Tiles(str(names[best]), _title(batch), [_tile(best, values, view, batch, window)])

    def _offer_tiles(self, values: Tensor, view: View, batch: Mapping[str, Any]) -> None:
        windows = checked_windows(batch["window"], (len(values), *values.shape[2:]))
        for i, (name, window) in enumerate(zip(map(scene_of, batch["name"]), windows, strict=True)):
            if self._current is None or self._current.name != name:
                self._compare()
                self._current = _Tiles(name, _title(batch), [])
            self._current.tiles.append(_tile(i, values, view, batch, window))

    def _compare(self) -> None:
        """Hold the scene whose tiles have ended if it has more anomalies than the best one."""
        if self._current is not None:
            count = self._current.n_anomalous()
            if count > self._most:
                self._most, self._best = count, self._current
            self._current = None


def _colours(batch: Mapping[str, Any]) -> ColourChannels:
    axis = batch.get("wavelengths")
    return colour_bands(batch["cube"].shape[1], None if axis is None else array(axis))


def _title(batch: Mapping[str, Any]) -> str:
    return _colours(batch).title


def _tile(i: int, values: Tensor, view: View, batch: Mapping[str, Any], window: tuple[int, ...]) -> _Tile:
    top, left, height, width = window
    core = batch.get("core")
    inner = (0, 0, height, width) if core is None else extent_of(core[i])
    part = (slice(inner[0], inner[2]), slice(inner[1], inner[3]))
    # Three bands alone are copied from the device.
    bands = array(batch["cube"][i, list(_colours(batch).indices)][:, *part].permute(1, 2, 0))
    held = array(values[i][:, *part].permute(1, 2, 0)).copy()
    valid, mask = (
        None if one is None else array(one[i][part]).astype(bool) for one in (view.valid, batch.get("mask"))
    )
    counted = np.ones(held.shape[:2], dtype=bool) if valid is None else valid
    return _Tile(top + inner[0], left + inner[1], bands.astype(np.float32), held, counted, mask)


class OverWavelengths(Visualization):
    """Holds the batches' `wavelengths`, the axis of a picture where they fit the number of channels.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.
    """

    wavelengths: Array | None = None

    @override
    def reset(self) -> None:
        self.wavelengths = None

    @override
    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        if batch.get("wavelengths") is not None:
            self.wavelengths = array(batch["wavelengths"])
