"""Merging of sketches, sums and shares over the ranks of a distributed run."""

from functools import reduce
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from cuvis_ai.stats.sketch import Sketch

S = TypeVar("S", bound=Sketch)
T = TypeVar("T")


def merged_over_ranks(sketch: S) -> S:
    """Return the merge of every rank's sketch, in rank order, on every rank.

    Without a process group it is the sketch itself. A rank that has seen nothing takes part.

    Example:
        >>> from cuvis_ai.stats.class_counts import ClassCounts
        >>> merged_over_ranks(ClassCounts(count=4, positive=1)).count  # one process
        4
    """
    return reduce(lambda merged, part: merged.merge(part), of_all_ranks(sketch))


def of_all_ranks(value: T) -> list[T]:
    """Return every rank's value, in rank order, on every rank; they are exchanged pickled."""
    if not _distributed():
        return [value]
    gathered = [value] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return gathered


def this_rank() -> int:
    """Return this process's place in `of_all_ranks`."""
    return dist.get_rank() if _distributed() else 0


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the sum of every rank's tensor, on every rank; without a process group the tensor itself."""
    if not _distributed():
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total


def share_of_rank(count: int | Tensor, like: Tensor) -> Tensor:
    """Return R n / N, with this rank's count n, the R ranks' sum N; 1 if no rank counts anything.

    A mean over n, multiplied by this before gradients are averaged over ranks, counts as one over N does.

    Args:
        count: n.
        like: has the dtype and device of the result.
    """
    if not _distributed():
        return torch.ones_like(like)
    own = torch.as_tensor(count, device=like.device)
    total = sum_over_ranks(own)
    share = (own * dist.get_world_size()).to(like.dtype) / total.clamp(min=1)
    return torch.where(total > 0, share, 1.0)


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
