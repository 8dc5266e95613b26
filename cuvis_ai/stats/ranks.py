"""Merging a sketch over the ranks of a distributed run; the one place where ranks talk statistics."""

from collections.abc import Sequence
from functools import reduce
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from cuvis_ai.stats.sketch import Sketch

S = TypeVar("S", bound=Sketch)


def merged_over_ranks(sketch: S, device: torch.device | None = None) -> S:
    """Return the merge of every rank's sketch, in rank order, on every rank.

    Without a process group it is the sketch itself. A rank that has seen nothing takes part.

    Args:
        sketch: this rank's own.
        device: where the process group exchanges tensors (NCCL: the rank's GPU).
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return sketch
    gathered = [_gathered(tensor, device or torch.device("cpu")) for tensor in sketch.tensors()]
    return reduce(
        lambda a, b: a.merge(b), [sketch.restored(of_rank) for of_rank in zip(*gathered, strict=True)]
    )


def _gathered(tensor: Tensor, device: torch.device) -> Sequence[Tensor]:
    """Return every rank's tensor; ranks may hold different shapes, of at most four axes."""
    world = dist.get_world_size()
    shape = torch.full((5,), -1, dtype=torch.int64, device=device)
    shape[0] = tensor.ndim
    shape[1 : 1 + tensor.ndim] = torch.tensor(tensor.shape, dtype=torch.int64)
    shapes = [torch.empty_like(shape) for _ in range(world)]
    dist.all_gather(shapes, shape)
    sizes = [tuple(s[1 : 1 + int(s[0])].tolist()) for s in shapes]
    longest = max(torch.Size(size).numel() for size in sizes)
    flat = torch.zeros(longest, dtype=tensor.dtype, device=device)
    flat[: tensor.numel()] = tensor.reshape(-1).to(device)
    parts = [torch.empty_like(flat) for _ in range(world)]
    dist.all_gather(parts, flat)
    return [
        part[: torch.Size(size).numel()].reshape(size).cpu() for part, size in zip(parts, sizes, strict=True)
    ]


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the sum of every rank's tensor, on every rank; without a process group the tensor itself."""
    if not (dist.is_available() and dist.is_initialized()):
        return tensor
    total = tensor.clone()
    dist.all_reduce(total)
    return total
