"""Arithmetic on a block of pixels that lies in a core's cache, on the CPU by NumPy.

Torch would share out each of these small steps among its threads, and wait for the slowest: on a busy
machine that costs ten times the step. Rows of pixels are short, so where channels do not mix, several
pixels are taken as one long row.

May import: `types`.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cuvis_ai.types import PixelMatrix

BLOCK_BYTES = 2**21
"""Size of a block's float64 copy."""

BLOCK_ON_DEVICE = 2**18
"""Pixels a block where the CPU only gives the orders."""

SIDE_BY_SIDE = 32
"""Pixels that make one long row."""

Block = NDArray[np.floating]


def block_length(pixels: PixelMatrix) -> int:
    """Return how many pixels a block has."""
    return BLOCK_BYTES // (8 * pixels.shape[1]) + 1 if pixels.is_cpu else BLOCK_ON_DEVICE


def as_array(pixels: PixelMatrix) -> Block:
    """Return pixels on the CPU as an array, a view where NumPy knows the dtype."""
    pixels = pixels.cpu()
    return (pixels if pixels.dtype in (torch.float32, torch.float64) else pixels.float()).numpy()


def ends(pixels: PixelMatrix) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Return the least and the greatest value of every channel, float64 on the CPU."""
    if pixels.is_cuda:
        return pixels.amin(0).cpu().double(), pixels.amax(0).cpu().double()
    long_rows, rest = _long_rows(np.ascontiguousarray(as_array(pixels)))
    channels = rest.shape[1]
    low, high = (
        end(np.concatenate([end(long_rows, axis=0).reshape(-1, channels), rest]), axis=0)
        if len(long_rows) else end(rest, axis=0)
        for end in (np.min, np.max)
    )  # fmt: skip
    return torch.from_numpy(low).double(), torch.from_numpy(high).double()


def subtract(block: Block, mean: Block) -> None:
    """Take `mean` (c,) from every pixel of a contiguous block, in place."""
    long_rows, rest = _long_rows(block)
    long_rows -= np.tile(mean, SIDE_BY_SIDE)
    rest -= mean


def mean_of(pixels: Float[Tensor, "n c"]) -> Float[Tensor, " c"]:
    """Return the mean of float64 pixels, on the CPU."""
    if pixels.is_cuda:
        return pixels.mean(0).cpu()
    return torch.from_numpy(np.ones(len(pixels)) @ pixels.numpy() / len(pixels))


def all_finite(values: Float[Tensor, " c"]) -> bool:
    """Return whether some values on the CPU are all finite."""
    return bool(np.isfinite(values.numpy()).all())


def _long_rows(block: Block) -> tuple[Block, Block]:
    """Return views: most pixels as rows of several, and the last few one by one."""
    n, c = block.shape
    whole = n - n % SIDE_BY_SIDE
    return block[:whole].reshape(-1, SIDE_BY_SIDE * c), block[whole:]
