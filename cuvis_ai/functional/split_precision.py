"""Numbers of float64 as two of a shorter dtype: what persistent state holds where digits count."""

import torch
from torch import Tensor


def split(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return values as two numbers of `dtype` each, whose sum has twice its digits, on a new axis."""
    high = values.to(dtype)
    return torch.stack([high, (values - high.to(values.dtype)).to(dtype)])


def joined(parts: Tensor) -> Tensor:
    """Return in float64, on the CPU, what was split."""
    return parts.cpu().double().sum(0)
