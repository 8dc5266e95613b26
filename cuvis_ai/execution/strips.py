"""Strips of rows in which large cubes are worked on, with the context that windows need."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

FLAGS_AND_CUBE = ("cube", "mask", "valid", "core")
"""Keys that are cut; others say nothing that a strip needs."""

PIXELS = 2**19
"""Pixels a strip, context aside: with 32 channels of float32 these are 64 MB."""


def strips(batch: Mapping[str, Any], context: int, pixels: int = PIXELS) -> Iterator[Mapping[str, Any]]:
    """Yield a batch as it is if it is small, else strips of rows of each cube.

    Rows of context, above and below, have `core` False: each pixel is counted in one strip.

    Args:
        batch: with `cube`, on one device, and flags as the gate leaves them.
        context: rows that windows see above and below.
        pixels: how many a strip has, context aside, but for a strip of one row.
    """
    b, _, h, w = batch["cube"].shape
    if b * h * w <= pixels:
        yield batch
        return
    rows = max(1, pixels // w)
    cut = {key: batch[key] for key in FLAGS_AND_CUBE if batch.get(key) is not None}
    cut.setdefault("core", torch.ones(b, h, w, dtype=torch.bool, device=batch["cube"].device))
    for i in range(b):
        for top in range(0, h, rows):
            low, bottom = max(0, top - context), min(h, top + rows)
            strip = {key: value[i : i + 1, ..., low : bottom + context, :] for key, value in cut.items()}
            core = strip["core"].clone()
            core[:, : top - low] = False
            core[:, bottom - low :] = False
            yield {**strip, "core": core}
