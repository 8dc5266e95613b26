"""Class counts against NumPy's sums."""

import numpy as np
import torch

from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats import ClassCounts

RNG = np.random.default_rng(0)
PIXELS = torch.from_numpy(RNG.normal(size=(200, 3)))
VALID = torch.from_numpy(RNG.random(200) < 0.7)
TRUTH = torch.from_numpy(RNG.random(200) < 0.2)


def counts_of(
    pixels: torch.Tensor, truth: torch.Tensor | None, valid: torch.Tensor | None = None
) -> ClassCounts:
    sketch = ClassCounts()
    sketch.update(pixels, valid, truth)
    return sketch


def numbers(sketch: ClassCounts) -> tuple[int, int, int]:
    return sketch.count, sketch.positive, sketch.channels


def test_valid_finite_pixels_are_counted_by_class() -> None:
    pixels = PIXELS.clone()
    pixels[::9, 1] = float("nan")
    counted = VALID & torch.isfinite(pixels).all(1)
    sketch = counts_of(pixels, TRUTH, VALID)
    assert numbers(sketch) == (int(counted.sum()), int((counted & TRUTH).sum()), 3)


def test_a_weight_above_zero_is_an_anomaly() -> None:
    assert numbers(counts_of(PIXELS, TRUTH * 0.25)) == numbers(counts_of(PIXELS, TRUTH))


def test_pixels_without_truth_are_passed_over() -> None:
    assert numbers(counts_of(PIXELS, None)) == (0, 0, 0)


def test_parts_make_the_whole() -> None:
    whole = counts_of(PIXELS, TRUTH)
    merged = counts_of(PIXELS[:50], TRUTH[:50]).merge(counts_of(PIXELS[50:], TRUTH[50:]))
    assert numbers(merged) == numbers(whole) == numbers(ClassCounts().merge(whole))


def test_a_map_changes_the_number_of_channels_alone() -> None:
    affine = Affine(torch.randn(2, 3), torch.zeros(3), torch.zeros(2))
    count, positive, _ = numbers(counts_of(PIXELS, TRUTH))
    assert numbers(counts_of(PIXELS, TRUTH).through(affine)) == (count, positive, 2)
