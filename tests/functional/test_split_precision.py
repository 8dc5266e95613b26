"""Numbers of float64 as two of float32."""

import torch

from cuvis_ai.functional.split_precision import joined, split


def test_two_parts_hold_twice_the_digits() -> None:
    values = torch.rand(50, dtype=torch.float64) * 1e6
    parts = split(values, torch.float32)
    assert parts.dtype == torch.float32
    torch.testing.assert_close(joined(parts), values, rtol=1e-14, atol=0)
