"""Openings: against SciPy, a slow reference with the rule of the border, and what an opening is."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from cuvis_ai.functional.morphology import COLUMN, LINES, ROW, background, opening, top_hat
from cuvis_ai.types import PixelMask

SHAPES = [(ROW, COLUMN), *((step,) for step in LINES)]
"""A square, and the four lines."""
NAMES = ["square", "row", "column", "falling", "rising"]

shapes = pytest.mark.parametrize("steps", SHAPES, ids=NAMES)


def footprint(n: int, steps: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """The offsets of a centred window."""
    offsets = [(0, 0)]
    for dy, dx in steps:
        offsets = [(y + dy * i, x + dx * i) for y, x in offsets for i in range(-(n // 2), n // 2 + 1)]
    return offsets


def opened_slowly(
    image: np.ndarray, valid: np.ndarray, n: int, steps: tuple[tuple[int, int], ...]
) -> np.ndarray:
    """The least value of each window around a valid pixel, then the greatest of those, of valid pixels alone."""
    (h, w), offsets = image.shape, footprint(n, steps)

    def near(values: np.ndarray, y: int, x: int) -> list[float]:
        inside = [(y + i, x + j) for i, j in offsets if 0 <= y + i < h and 0 <= x + j < w]
        return [values[at] for at in inside if valid[at]]

    eroded, result = np.full((h, w), -math.inf), np.full((h, w), -math.inf)
    for y, x in np.argwhere(valid):
        eroded[y, x] = min(near(image, y, x))
    for y, x in np.argwhere(valid):
        result[y, x] = max(near(eroded, y, x))
    return result


@shapes
@pytest.mark.parametrize("share", [1.0, 0.8, 0.3])
@pytest.mark.parametrize(("n", "size"), [(3, (9, 7)), (5, (9, 12)), (7, (9, 12)), (13, (6, 5))])
def test_against_a_slow_reference(
    steps: tuple[tuple[int, int], ...], share: float, n: int, size: tuple[int, int]
) -> None:
    images, valid = torch.randn(2, 1, *size, dtype=torch.float64), torch.rand(2, *size) < share
    got = opening(images, valid, n, *steps)
    expected = np.stack(
        [opened_slowly(i[0], v, n, steps) for i, v in zip(images.numpy(), valid.numpy(), strict=True)]
    )
    np.testing.assert_array_equal(got[:, 0][valid].numpy(), expected[valid.numpy()])
    if share == 1:
        assert torch.equal(opening(images, None, n, *steps), got)


@shapes
@pytest.mark.parametrize("n", [3, 5, 11, 13])
def test_inside_the_image_it_is_scipys(steps: tuple[tuple[int, int], ...], n: int) -> None:
    image = torch.randn(1, 1, 60, 50)
    window = np.zeros((n, n), dtype=bool)
    for y, x in footprint(n, steps):
        window[y + n // 2, x + n // 2] = True
    expected = ndimage.grey_opening(image[0, 0].numpy(), footprint=window)
    inside = (slice(n - 1, 1 - n),) * 2
    np.testing.assert_array_equal(opening(image, None, n, *steps)[0, 0].numpy()[inside], expected[inside])


@given(
    n=st.sampled_from([3, 5, 7, 13]),
    steps=st.sampled_from(SHAPES),
    h=st.integers(1, 15),
    w=st.integers(1, 15),
    share=st.sampled_from([1.0, 0.7]),
    seed=st.integers(0, 99),
)
def test_it_is_an_opening(
    n: int, steps: tuple[tuple[int, int], ...], h: int, w: int, share: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(1, 1, h, w, generator=generator)
    higher = image + torch.rand(1, 1, h, w, generator=generator)
    valid: PixelMask = torch.rand(1, h, w, generator=generator) < share
    inside = valid[:, None]
    opened = opening(image, valid, n, *steps)
    assert bool((opened <= image)[inside].all()), "nowhere above its input"
    again = opening(torch.where(inside, opened, 0.0), valid, n, *steps)
    assert torch.equal(again[inside], opened[inside]), "idempotent"
    assert bool((opened <= opening(higher, valid, n, *steps))[inside].all()), "increasing"


def test_background_is_the_mean_of_square_and_greatest_line() -> None:
    image, valid = torch.randn(1, 1, 20, 18, dtype=torch.float64), torch.rand(1, 20, 18) < 0.9
    square = opened_slowly(image[0, 0].numpy(), valid[0].numpy(), 11, (ROW, COLUMN))
    lines = [opened_slowly(image[0, 0].numpy(), valid[0].numpy(), 13, (step,)) for step in LINES]
    expected = (square + np.max(lines, axis=0)) / 2
    found = background(image, valid, 13)[0, 0]
    np.testing.assert_allclose(found[valid[0]].numpy(), expected[valid[0].numpy()], rtol=1e-15)


@pytest.mark.parametrize(("extent", "side"), [(3, 3), (5, 5), (7, 5), (9, 7), (11, 9), (13, 11), (15, 11)])
def test_side_of_the_square(extent: int, side: int) -> None:
    """A square that is as wide as the opening's stays, one that is a pixel narrower goes."""
    assert side == 2 * round(0.35 * extent) + 1
    for width, stays in ((side, True), (side - 1, False)):
        image = torch.zeros(1, 1, 40, 40)
        image[..., 10 : 10 + width, 10 : 10 + width] = 1
        lines = max(float(opening(image, None, extent, step)[..., 10, 10]) for step in LINES)
        assert float(background(image, None, extent)[..., 10, 10]) == (stays + lines) / 2


def test_what_is_small_stays_and_roads_and_fields_go() -> None:
    image = torch.zeros(1, 1, 60, 60)
    image[..., 5, :] = 1  # a road
    for i in range(30):
        image[..., 20 + i, 10 + i] = 1  # another, aslant
    image[..., 30:, 45:] = 1  # a field
    image[..., 12:15, 30:33] = 1  # a car
    hat = top_hat(image, None, 13)[0, 0]
    assert bool((hat[12:15, 30:33] == 1).all())
    assert float(hat[5].max()) == 0.5  # the square alone does not see a road
    assert float(hat[35, 25]) == 0.5
    assert float(hat[30:, 45:].max()) == 0


def test_pixels_without_data_are_0_and_change_nothing_beyond_the_windows() -> None:
    image, valid = torch.randn(1, 2, 40, 40), torch.ones(1, 40, 40, dtype=torch.bool)
    valid[0, 20, 20] = False
    hat, whole = top_hat(image, valid, 7), top_hat(image, None, 7)
    assert bool((hat[..., 20, 20] == 0).all())
    changed = (hat != whole).any(1)[0].nonzero()
    assert int((changed - 20).abs().max()) <= 6
    assert bool(hat.isfinite().all())
    assert bool((hat >= 0).all())


@pytest.mark.parametrize("share", [1.0, 0.8])
def test_subgradients(share: float) -> None:
    valid = torch.rand(1, 7, 6) < share
    image = torch.randn(1, 1, 7, 6, dtype=torch.float64, requires_grad=True)
    inside = valid[:, None]
    assert torch.autograd.gradcheck(lambda x: background(x, valid, 5)[inside], (image,))
    (gradient,) = torch.autograd.grad(top_hat(image, valid, 5).sum(), image)
    assert bool(gradient.isfinite().all())
    assert bool((gradient[~inside] == 0).all())


def test_its_work_grows_with_the_logarithm_of_the_extent(monkeypatch: pytest.MonkeyPatch) -> None:
    image, calls = torch.randn(1, 1, 8, 8), []
    minimum = torch.minimum
    monkeypatch.setattr(torch, "minimum", lambda a, b: calls.append(1) or minimum(a, b))
    counts = []
    for extent in (9, 17, 33, 65):
        calls.clear()
        background(image, None, extent)
        counts.append(len(calls))
    assert np.diff(counts).max() <= 6, counts  # one more for each of four lines and two sides of the square


def test_a_dark_level_costs_no_digits() -> None:
    """About 50,000 float32 has steps of 1/256: differences are exact there, the means of two are not."""
    image = 50_000 + torch.randint(0, 256, (2, 1, 20, 20)) / 256
    expected = top_hat((image - 50_000).double(), None, 7)
    assert torch.equal(top_hat(image, None, 7).double(), expected)
    assert bool((expected * 256 % 1 == 0.5).any())
