"""Merging of sketches and sums over the ranks of a distributed run."""

from functools import reduce
from typing import TypeVar

import torch.distributed as dist
from torch import Tensor

from cuvis_ai.stats.sketch import Sketch

S = TypeVar("S", bound=Sketch)


def merged_over_ranks(sketch: S) -> S:
    """Return the merge of every rank's sketch, in rank order, on every rank.

    Without a process group it is the sketch itself. A rank that has seen nothing takes part.
    """
    if not _distributed():
        return sketch
    gathered = [sketch] * dist.get_world_size()
    dist.all_gather_object(gathered, sketch)
    return reduce(lambda merged, part: merged.merge(part), gathered)


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the sum of every rank's tensor, on every rank; without a process group the tensor itself."""
    if not _distributed():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
