"""Extrema against NumPy."""

import numpy as np
import torch

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats import Extrema


def extrema_of(*parts: np.ndarray) -> Extrema:
    sketch = Extrema()
    for part in parts:
        sketch.update(torch.from_numpy(part))
    return sketch


def test_least_and_greatest_value_of_each_channel() -> None:
    x = np.random.default_rng(0).normal(size=(500, 6))
    sketch = extrema_of(x[:7], x[7:])
    assert (sketch.count, sketch.channels) == (500, 6)
    np.testing.assert_array_equal(sketch.low, x.min(0))
    np.testing.assert_array_equal(sketch.high, x.max(0))


def test_a_map_with_negative_weights_exchanges_the_ends() -> None:
    x = np.random.default_rng(1).normal(size=(50, 3))
    weight, center, bias = (
        torch.tensor([2.0, -3.0, 0.0]).double(),
        torch.ones(3).double(),
        torch.arange(3.0).double(),
    )
    carried = extrema_of(x).through(Affine(weight, center, bias))
    y = weight.numpy() * (x - 1) + bias.numpy()
    np.testing.assert_allclose(carried.low, y.min(0), rtol=1e-14)
    np.testing.assert_allclose(carried.high, y.max(0), rtol=1e-14)
    assert carried.count == 50


def test_a_merge_with_nothing_is_a_copy() -> None:
    part = extrema_of(np.zeros((2, 1)))
    for whole in (part.merge(Extrema()), Extrema().merge(part)):
        whole.update(torch.ones(1, 1))
        assert (whole.count, float(whole.high)) == (3, 1.0)
    assert (part.count, float(part.high)) == (2, 0.0)
