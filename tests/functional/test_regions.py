import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from cuvis_ai.functional.regions import region_sizes, region_weights


def test_a_pixel_weighs_one_over_its_regions_size():
    mask = torch.tensor([[[1, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]], dtype=torch.bool)
    expected = torch.tensor([[[0.5, 0.5, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0]]], dtype=torch.float64)
    torch.testing.assert_close(region_weights(mask), expected, rtol=0, atol=0)


def test_pixels_that_touch_at_a_corner_are_one_region():
    mask = torch.eye(4, dtype=torch.bool)[None]
    torch.testing.assert_close(region_weights(mask), torch.eye(4)[None].double() / 4, rtol=0, atol=0)


def test_regions_end_with_their_cube():
    mask = torch.ones(3, 2, 2, dtype=torch.bool)
    assert region_weights(mask).eq(0.25).all()


def test_an_invalid_pixel_is_in_no_region_and_parts_one_in_two():
    mask = torch.ones(1, 1, 5, dtype=torch.bool)
    valid = torch.tensor([[[True, True, False, True, True]]])
    expected = torch.tensor([[[0.5, 0.5, 0, 0.5, 0.5]]], dtype=torch.float64)
    torch.testing.assert_close(region_weights(mask, valid), expected, rtol=0, atol=0)


def test_without_an_anomaly_all_weights_are_zero():
    assert region_weights(torch.zeros(2, 3, 4, dtype=torch.bool)).eq(0).all()


@given(
    mask=hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, max_side=7)),
    seed=st.integers(0, 2**32 - 1),
)
def test_weights_sum_to_the_number_of_regions_whatever_the_mask_says_at_invalid_pixels(mask, seed):
    valid = np.random.default_rng(seed).random(mask.shape) < 0.8
    weights = region_weights(torch.from_numpy(mask), torch.from_numpy(valid))
    n_regions = sum(ndimage.label(cube, structure=np.ones((3, 3)))[1] for cube in mask & valid)
    np.testing.assert_allclose(weights.sum(), n_regions, rtol=1e-12)
    np.testing.assert_array_equal(weights.numpy() > 0, mask & valid)
    np.testing.assert_array_equal(
        weights, region_weights(torch.from_numpy(mask | ~valid), torch.from_numpy(valid))
    )


@given(hnp.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_sizes_of_scattered_pixels_are_those_of_their_regions(mask):
    labels, _ = ndimage.label(mask, structure=np.ones((3, 3)))
    places = np.argwhere(mask)
    np.testing.assert_array_equal(region_sizes(places), np.bincount(labels.ravel())[labels[mask]])
