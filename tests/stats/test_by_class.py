"""Sketches by class against those of each class alone."""

import pickle

import numpy as np
import torch

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats import ChannelMoments, ChannelMomentsByClass, MomentsByClass

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


def test_covariances_by_class_are_those_of_numpy_also_after_a_map_and_in_parts() -> None:
    parts = []
    for part in (slice(70), slice(70, 71), slice(71, None)):
        parts.append(MomentsByClass())
        parts[-1].update(PIXELS[part], VALID[part], TRUTH[part])
    sketch = parts[2].merge(parts[0]).merge(parts[1])
    weight = torch.from_numpy(RNG.normal(size=(3, 4)))
    carried = sketch.through(Affine(weight, torch.ones(4).double(), torch.arange(3).double()))
    mapped = (PIXELS.numpy() - 1) @ weight.numpy().T + np.arange(3)
    for moments, flags in (
        (carried.normal, VALID & ~TRUTH),
        (carried.anomalous, VALID & TRUTH),
        (carried.whole(), VALID),
    ):
        chosen = mapped[flags.numpy()]
        assert moments.count == len(chosen)
        np.testing.assert_allclose(moments.mean, chosen.mean(0), rtol=1e-11)
        np.testing.assert_allclose(moments.covariance(), np.cov(chosen.T), rtol=1e-10)
