"""Means over windows and the guided filter, against plain loops."""

import math

import numpy as np
import pytest
import torch

from cuvis_ai.functional import filters
from cuvis_ai.functional.filters import gaussian_mean, guided_filter, log_mean
from cuvis_ai.types import PixelMask

MASKS = [1.0, 0.8, 0.3]
"""Shares of valid pixels."""


def random_case(
    share: float, channels: int = 1, size: tuple[int, int] = (9, 7)
) -> tuple[torch.Tensor, PixelMask]:
    cube = torch.randn(2, channels, *size, dtype=torch.float64)
    return cube, torch.rand(2, *size) < share


def window(valid: PixelMask, y: int, x: int, radius: int) -> list[tuple[int, int]]:
    """Valid pixels of a window, of one image."""
    h, w = valid.shape
    return [
        (i, j)
        for i in range(max(0, y - radius), min(h, y + radius + 1))
        for j in range(max(0, x - radius), min(w, x + radius + 1))
        if valid[i, j]
    ]


def gaussian_by_loops(cube: torch.Tensor, valid: PixelMask, sigma: float) -> torch.Tensor:
    result = torch.zeros_like(cube)
    for b, k, y, x in np.ndindex(*cube.shape):
        near = window(valid[b], y, x, 2)
        weights = [math.exp(-((i - y) ** 2 + (j - x) ** 2) / (2 * sigma**2)) for i, j in near]
        if near:
            total = sum(w * float(cube[b, k, i, j]) for w, (i, j) in zip(weights, near, strict=True))
            result[b, k, y, x] = total / sum(weights)
    return result


def guided_by_loops(
    image: torch.Tensor, guide: torch.Tensor, valid: PixelMask, radius: int, eps: float
) -> torch.Tensor:
    """Equations 19 to 21 of He, Sun and Tang, window by window; 0 at invalid pixels."""
    (b, g, h, w), result = guide.shape, torch.zeros_like(image)
    for n in range(b):
        p, slopes, offsets = image[n, 0].numpy(), np.zeros((h, w, g)), np.zeros((h, w))
        for y, x in np.ndindex(h, w):
            near = tuple(np.array(window(valid[n], y, x, radius)).reshape(-1, 2).T)
            if not valid[n, y, x]:
                continue
            values = guide[n].permute(1, 2, 0).numpy()[near]
            covariance = np.atleast_2d(np.cov(values, rowvar=False, ddof=0)) + eps * np.eye(g)
            shared = ((values - values.mean(0)) * (p[near] - p[near].mean())[:, None]).mean(0)
            slopes[y, x] = np.linalg.solve(covariance, shared)
            offsets[y, x] = p[near].mean() - slopes[y, x] @ values.mean(0)
        for y, x in np.ndindex(h, w):
            if valid[n, y, x]:
                near = tuple(np.array(window(valid[n], y, x, radius)).T)
                result[n, 0, y, x] = float(
                    slopes[near].mean(0) @ guide[n, :, y, x].numpy() + offsets[near].mean()
                )
    return result


@pytest.mark.parametrize("share", MASKS)
@pytest.mark.parametrize("sigma", [0.5, 1.7])
def test_gaussian_mean(share: float, sigma: float) -> None:
    cube, valid = random_case(share, channels=2)
    expected = gaussian_by_loops(cube, valid, sigma)
    torch.testing.assert_close(gaussian_mean(cube, valid, sigma), expected)
    if share == 1:
        torch.testing.assert_close(gaussian_mean(cube, None, sigma), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 1)])
def test_images_smaller_than_the_window(size: tuple[int, int]) -> None:
    cube, valid = random_case(1.0, size=size)
    torch.testing.assert_close(gaussian_mean(cube, None, 0.5), gaussian_by_loops(cube, valid, 0.5))
    torch.testing.assert_close(
        guided_filter(cube, cube, None, radius=2, eps=0.1), guided_by_loops(cube, cube, valid, 2, 0.1)
    )


def test_logarithm_of_the_mean_has_a_floor_and_is_0_where_there_are_no_data() -> None:
    cube = torch.tensor([[[[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0, 7.0]]]], dtype=torch.float64)
    valid = torch.tensor([[[True] * 7 + [False]]])
    logarithm = log_mean(cube, valid, 0.5)
    assert float(logarithm[0, 0, 0, 0]) == pytest.approx(math.log(1e-6))
    assert float(logarithm[0, 0, 0, 7]) == 0
    near, far = math.exp(-2), math.exp(-8)
    assert float(logarithm[0, 0, 0, 6]) == pytest.approx(math.log(5 / (1 + near + far)))


@pytest.mark.parametrize("share", MASKS)
@pytest.mark.parametrize("g", [1, 2, 3, 4])
@pytest.mark.parametrize("radius", [1, 2])
def test_guided_filter(share: float, g: int, radius: int) -> None:
    (image, valid), (guide, _) = random_case(share), random_case(share, channels=g)
    filtered = guided_filter(image, guide, valid, radius=radius, eps=0.05)
    expected = guided_by_loops(image, guide, valid, radius, 0.05)
    torch.testing.assert_close(filtered[valid[:, None]], expected[valid[:, None]])
    if share == 1:
        torch.testing.assert_close(guided_filter(image, guide, None, radius=radius, eps=0.05), expected)


def test_guided_filter_in_strips_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    (image, valid), (guide, _) = random_case(0.9, size=(40, 7)), random_case(1, channels=3, size=(40, 7))
    whole = guided_filter(image, guide, valid, radius=2, eps=0.05)
    monkeypatch.setattr(filters, "STRIP_PIXELS", 90)
    torch.testing.assert_close(guided_filter(image, guide, valid, radius=2, eps=0.05), whole, rtol=0, atol=0)


def test_guided_filter_in_float32_agrees_with_float64_at_an_outlier_of_the_guide() -> None:
    (image, _), (guide, _) = random_case(1, size=(30, 30)), random_case(1, channels=3, size=(30, 30))
    guide = 0.05 * guide
    guide[:, :, 12:18, 12:18] += 40.0
    image, guide = image.float(), guide.float()
    expected = guided_filter(image.double(), guide.double(), None, radius=1, eps=1e-2)
    filtered = guided_filter(image, guide, None, radius=1, eps=1e-2)
    assert filtered.dtype == torch.float32
    torch.testing.assert_close(filtered.double(), expected, rtol=0, atol=1e-6)


def test_an_image_that_is_an_affine_function_of_the_guide_stays() -> None:
    guide, _ = random_case(1, channels=2)
    image = (2 * guide[:, :1] - 3 * guide[:, 1:] + 1).contiguous()
    torch.testing.assert_close(guided_filter(image, guide, None, radius=1, eps=1e-12), image)


@pytest.mark.parametrize("share", [1.0, 0.8])
def test_gradients(share: float) -> None:
    (image, valid), (guide, _) = random_case(share, size=(4, 3)), random_case(share, channels=2, size=(4, 3))
    inside = valid[:, None]

    def filtered(image: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        return guided_filter(image, guide, valid, radius=1, eps=0.1)[inside]

    arguments = (image.requires_grad_(), guide.requires_grad_())
    assert torch.autograd.gradcheck(filtered, arguments)
    assert torch.autograd.gradcheck(lambda x: log_mean(x.exp(), valid, 0.5)[inside], (image,))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (4, 5), (7, 6), (11, 13)])
def test_values_do_not_depend_on_invalid_pixels_of_other_cubes(size: tuple[int, int]) -> None:
    """A batch where all pixels are valid has no mask; beside a cube with an invalid one it has."""
    cube, guide = torch.rand(2, 1, *size) + 0.1, torch.rand(2, 3, *size)
    everywhere = torch.ones(2, *size, dtype=torch.bool)
    assert torch.equal(gaussian_mean(cube, None, 0.5), gaussian_mean(cube, everywhere, 0.5))
    for radius in (1, 2):
        filtered = [
            guided_filter(cube, guide, valid, radius=radius, eps=0.01) for valid in (None, everywhere)
        ]
        assert torch.equal(*filtered)
