"""Strips of rows in which large cubes are worked on, with the context that windows need."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from cuvis_ai.leaf.reading import Evaluation
from cuvis_ai.types import PixelMask

FLAGS_AND_CUBE = ("cube", "mask", "valid", "core")
"""Keys that are cut, besides labels by pixel; others say nothing that a strip needs."""

PIXELS = 2**19
"""Pixels a strip, context aside: with 32 channels of float32 these are 64 MB."""


def row_strips(height: int, width: int, context: int, pixels: int = PIXELS) -> Iterator[tuple[slice, slice]]:
    """Yield strips that divide an image: the rows that one sees, and which of these are its own.

    Args:
        height: of the image.
        width: of the image.
        context: rows that it sees above and below its own.
        pixels: how many it has, context aside, but for a strip of one row.
    """
    rows = max(1, pixels // width)
    for top in range(0, height, rows):
        low = max(0, top - context)
        yield slice(low, min(top + rows + context, height)), slice(top - low, min(top + rows, height) - low)


def strips(batch: Mapping[str, Any], context: int, pixels: int = PIXELS) -> Iterator[Mapping[str, Any]]:
    """Yield a batch as it is if it is small, else strips of rows of each cube.

    Rows of context, above and below, have `core` False: each pixel is counted in one strip.

    Args:
        batch: with `cube`, on one device, and flags as the gate leaves them.
        context: rows that windows see above and below.
        pixels: how many a strip has, context aside.
    """
    b, _, h, w = batch["cube"].shape
    if b * h * w <= pixels:
        yield batch
        return
    cut = {key: batch[key] for key in FLAGS_AND_CUBE if batch.get(key) is not None}
    labels = batch.get("labels")
    if isinstance(labels, torch.Tensor) and labels.shape == (b, h, w):
        cut["labels"] = labels
    cut.setdefault("core", torch.ones(b, h, w, dtype=torch.bool, device=batch["cube"].device))
    for i in range(b):
        for seen, own in row_strips(h, w, context, pixels):
            strip = {key: value[i : i + 1, ..., seen, :] for key, value in cut.items()}
            core = torch.zeros_like(strip["core"])
            core[:, own] = strip["core"][:, own]
            yield {**strip, "core": core}


def joined(parts: Sequence[Sequence[Evaluation]], core: PixelMask | None) -> Evaluation:
    """Return the evaluation of a batch from those of its cubes' strips, each without context."""
    flat = [one for cube in parts for one in cube]
    values = {
        point: torch.cat([torch.cat([one.values[point] for one in cube], 2) for cube in parts])
        for point in flat[0].values
    }
    if all(one.valid is None for one in flat):
        return Evaluation(values, None, core)

    def valid_of(one: Evaluation) -> PixelMask:
        cube = next(iter(one.values.values()))
        everywhere = torch.ones(1, *cube.shape[2:], dtype=torch.bool, device=cube.device)
        return everywhere if one.valid is None else one.valid

    valid = torch.cat([torch.cat([valid_of(one) for one in cube], 1) for cube in parts])
    return Evaluation(values, valid, core)
