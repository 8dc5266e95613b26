"""Sketches by class against those of each class alone."""

import pickle

import numpy as np
import torch

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats import ChannelMoments, ChannelMomentsByClass

RNG = np.random.default_rng(0)
PIXELS = torch.from_numpy(RNG.normal(size=(300, 4)) * 3 + 10)
TRUTH = torch.from_numpy(RNG.random(300) < 0.3)
VALID = torch.from_numpy(RNG.random(300) < 0.8)


def taken(part: slice = slice(None)) -> ChannelMomentsByClass:
    sketch = ChannelMomentsByClass()
    sketch.update(PIXELS[part], VALID[part], TRUTH[part])
    return sketch


def assert_is_of(moments: ChannelMoments, pixels: torch.Tensor) -> None:
    assert moments.count == len(pixels)
    np.testing.assert_allclose(moments.mean, pixels.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance(), pixels.numpy().var(0, ddof=1), rtol=1e-10)


def test_each_class_has_the_moments_of_its_valid_pixels() -> None:
    sketch = taken()
    assert (sketch.count, sketch.channels, sketch.truth_known) == (int(VALID.sum()), 4, True)
    assert_is_of(sketch.normal, PIXELS[VALID & ~TRUTH])
    assert_is_of(sketch.anomalous, PIXELS[VALID & TRUTH])


def test_parts_make_the_whole_also_after_they_were_pickled() -> None:
    whole = pickle.loads(pickle.dumps(taken(slice(100)))).merge(taken(slice(100, None)))
    assert whole.truth_known
    assert_is_of(whole.normal, PIXELS[VALID & ~TRUTH])
    assert_is_of(whole.anomalous, PIXELS[VALID & TRUTH])


def test_without_truth_all_are_normal_also_after_a_map() -> None:
    sketch = ChannelMomentsByClass()
    sketch.update(PIXELS)
    assert not sketch.truth_known
    weight = torch.tensor([1.0, -2.0, 3.0, 0.5]).double()
    carried = sketch.through(Affine(weight, torch.ones(4).double(), torch.zeros(4).double()))
    assert_is_of(carried.normal, weight * (PIXELS - 1))
    assert carried.anomalous.count == 0
