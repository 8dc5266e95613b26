"""Numbers of float64 as two of a shorter dtype: what persistent state holds where digits count."""

import torch
from torch import Tensor


def split(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Return values as two numbers of `dtype` each, whose sum has twice its digits, on a new axis.

    Example:
        >>> value = torch.tensor([1 + 2**-40], dtype=torch.float64)
        >>> torch.equal(joined(split(value, torch.float32)), value)
        True
    """
    high = values.to(dtype)
    return torch.stack([high, (values - high.to(values.dtype)).to(dtype)])


def joined(parts: Tensor) -> Tensor:
    """Return in float64, on the CPU, what was split.

    Example:
        >>> value = torch.tensor([1 + 2**-40], dtype=torch.float64)
        >>> joined(split(value, torch.float32)).item() == value.item()
        True
    """
    return parts.cpu().double().sum(0)
