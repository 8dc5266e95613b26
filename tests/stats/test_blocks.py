"""Work on blocks and in threads gives what one step over all pixels gives."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from cuvis_ai.stats.blocks import (
    BLOCK_BYTES,
    LEAST_SHARE,
    all_finite,
    as_array,
    block_length,
    ends,
    in_shares,
    mean_of,
    subtract,
)

LAYOUTS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "pixel by pixel": lambda x: x,
    "channel by channel": lambda x: x.T.contiguous().T,
}
layouts = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def pixels(n: int, c: int = 5) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(n).normal(size=(n, c)).astype(np.float32))


@pytest.mark.parametrize("c", [1, 61, 500])
def test_a_block_fills_the_cache_and_holds_a_pixel_at_least(c: int) -> None:
    length = block_length(pixels(1, c))
    assert BLOCK_BYTES - 8 * c <= 8 * c * (length - 1) <= BLOCK_BYTES


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("n", [0, 1, LEAST_SHARE, 2 * LEAST_SHARE + 1, 9 * LEAST_SHARE + 2])
def test_shares_cover_all_pixels_once_and_in_order(n: int) -> None:
    found = in_shares(lambda i, share: (i, share), pixels(n))
    assert [i for i, _ in found] == list(range(len(found)))
    assert len(found) == max(1, min(3, n // LEAST_SHARE))
    assert [j for _, share in found for j in range(n)[share]] == list(range(n))


@pytest.mark.usefixtures("three_threads")
def test_a_thread_with_a_share_computes_alone_and_the_caller_keeps_its_threads() -> None:
    assert in_shares(lambda i, share: torch.get_num_threads(), pixels(3 * LEAST_SHARE)) == [1, 1, 1]
    assert torch.get_num_threads() == 3


@layouts
@pytest.mark.parametrize("n", [1, 31, 32, 33, 1000])
def test_ends_are_numpys(layout: Callable[[torch.Tensor], torch.Tensor], n: int) -> None:
    x = pixels(n)
    low, high = ends(layout(x))
    assert low.dtype == high.dtype == torch.float64
    np.testing.assert_array_equal(low, x.numpy().min(0))
    np.testing.assert_array_equal(high, x.numpy().max(0))


@layouts
@pytest.mark.parametrize("n", [1, 32, 100])
def test_a_spectrum_is_subtracted_from_each_pixel_also_in_place(
    layout: Callable[[torch.Tensor], torch.Tensor], n: int
) -> None:
    x = layout(pixels(n).double()).numpy()
    mean = np.arange(5.0)
    expected = x - mean
    out = np.empty_like(x)
    subtract(x, mean, out)
    np.testing.assert_array_equal(out, expected)
    subtract(x, mean, x)
    np.testing.assert_array_equal(x, expected)


@layouts
def test_mean_is_numpys(layout: Callable[[torch.Tensor], torch.Tensor]) -> None:
    x = pixels(1000).double() + 1e4
    np.testing.assert_allclose(mean_of(layout(x)), x.numpy().mean(0), rtol=1e-14)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_one_value_that_is_not_finite_is_found(value: float) -> None:
    assert all_finite(torch.zeros(3))
    assert not all_finite(torch.tensor([0.0, value, 0.0]))


def test_an_array_is_a_view_where_numpy_has_the_dtype() -> None:
    x = pixels(3)
    assert np.shares_memory(as_array(x), x.numpy())
    np.testing.assert_array_equal(as_array(x.bfloat16()), x.bfloat16().float().numpy())
