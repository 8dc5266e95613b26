"""Work on pixels by blocks that lie in a core's cache, and in threads of our own.

Each thread takes a share of the pixels and works on it alone. On the CPU the small steps are NumPy's:
torch would share out each of them among its threads and wait for the slowest, which on a busy machine
costs ten times the step. Rows of pixels are short, so where channels do not mix, several pixels are
taken as one long row.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from threading import Barrier
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cuvis_ai.types import PixelMatrix

T = TypeVar("T")

BLOCK_BYTES = 2**21
"""Size of a block in float64."""

BLOCK_ON_DEVICE = 2**18
"""Pixels a block where the CPU only gives the orders."""

LEAST_SHARE = 2**12
"""Pixels that are worth a thread."""

SIDE_BY_SIDE = 32
"""Pixels that make one long row."""

Block = NDArray[np.floating]


def block_length(pixels: PixelMatrix) -> int:
    """Return how many pixels a block has."""
    return BLOCK_BYTES // (8 * pixels.shape[1]) + 1 if pixels.is_cpu else BLOCK_ON_DEVICE


def in_shares(work: Callable[[int, slice], T], pixels: PixelMatrix) -> list[T]:
    """Return work(i, share) for the i-th share of the pixels, in order.

    There are as many shares as torch uses threads, and fewer for few pixels; one for pixels on a device.
    """
    n, most = len(pixels), torch.get_num_threads() if pixels.is_cpu else 1
    count = max(1, min(most, n // LEAST_SHARE))
    edges = [n * i // count for i in range(count + 1)]
    shares = [slice(start, end) for start, end in pairwise(edges)]
    if count == 1:
        return [work(0, shares[0])]
    return list(_pool(count).map(work, range(count), shares))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that compute alone: in them torch uses no further ones, which would compete."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "cuvis_ai", initializer=_compute_alone)
    # Torch sets the calling thread's number and that of threads to come: set back once all have started.
    started = Barrier(threads)
    list(pool.map(lambda _: started.wait(), range(threads)))
    torch.set_num_threads(before)
    return pool


def _compute_alone() -> None:
    torch.get_num_threads()  # a thread takes over the default when it first asks
    torch.set_num_threads(1)


# A forked process has none of its parent's threads.
os.register_at_fork(after_in_child=_pool.cache_clear)


def as_array(values: Tensor) -> Block:
    """Return numbers on the CPU as an array, a view where NumPy knows the dtype."""
    values = values.cpu()
    return (values if values.dtype in (torch.float32, torch.float64) else values.float()).numpy()


def ends(pixels: PixelMatrix) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Return the least and the greatest value of every channel, float64 on the CPU."""
    if pixels.is_cuda:
        return pixels.amin(0).cpu().double(), pixels.amax(0).cpu().double()
    array = as_array(pixels)
    if not array.flags.c_contiguous:  # channels are rows: their ends are found as fast as memory is read
        return torch.from_numpy(array.min(0)).double(), torch.from_numpy(array.max(0)).double()
    long_rows, rest = _long_rows(array)
    channels = rest.shape[1]
    low, high = (
        end(np.concatenate([end(long_rows, axis=0).reshape(-1, channels), rest]), axis=0)
        if len(long_rows) else end(rest, axis=0)
        for end in (np.min, np.max)
    )  # fmt: skip
    return torch.from_numpy(low).double(), torch.from_numpy(high).double()


def subtract(pixels: Block, mean: Block, out: Block) -> None:
    """Write `pixels` less `mean` (c,) into a block of the same layout; it may be that of the pixels."""
    if not pixels.flags.c_contiguous:
        np.subtract(pixels, mean, out=out)
        return
    rows, rest = _long_rows(pixels)
    rows_out, rest_out = _long_rows(out)
    np.subtract(rows, np.tile(mean, SIDE_BY_SIDE), out=rows_out)
    np.subtract(rest, mean, out=rest_out)


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
