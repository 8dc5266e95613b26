"""Means over windows of valid pixels, and the filter that follows the edges of a guide.

Windows end at the image's border and leave out invalid pixels: a mean is over the pixels that are there.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import pad

from cuvis_ai.types import CubeTensor, PixelMask

LEAST = 1e-6
"""Mean scores below it count as this much: their logarithm would say nothing."""

STRIP_PIXELS = 2**18
"""Pixels that the guided filter works on at a time: its forty planes then take 80 MB."""


def gaussian_mean(cube: CubeTensor, valid: PixelMask | None, sigma: float) -> CubeTensor:
    """Return Σ g x / Σ g over the valid pixels of 5 × 5 with g = exp(−distance² / 2 σ²), channel by channel.

    Where no pixel of a window is valid it is 0.

    Args:
        cube: finite.
        valid: False at pixels without data; None if there are none.
        sigma: σ in pixels.
    """
    return _window_mean(cube, valid, [_gaussian(distance, sigma) for distance in range(-2, 3)])


def log_mean(cube: CubeTensor, valid: PixelMask | None, sigma: float) -> CubeTensor:
    """Return log max(G ∗ x, 1e-6), G ∗ x being the Gaussian mean; 0 at invalid pixels."""
    logarithm = gaussian_mean(cube, valid, sigma).clamp(min=LEAST).log()
    return logarithm if valid is None else torch.where(valid[:, None], logarithm, 0.0)


def guided_filter(
    cube: Float[Tensor, "b 1 h w"],
    guide: Float[Tensor, "b g h w"],
    valid: PixelMask | None,
    *,
    radius: int,
    eps: float,
) -> Float[Tensor, "b 1 h w"]:
    """Return the image that is locally an affine function of the guide and next to the input.

    In each window of (2 · radius + 1)² pixels a = (Σ + eps I)⁻¹ cov(guide, p), b = mean p − aᵀ mean guide,
    with the covariance Σ of the guide; a pixel's output is (mean a)ᵀ guide + mean b over the windows that it
    is in. Moments are of valid pixels (denominator: their number) and in float64, since they are differences.

    Args:
        cube: p, finite.
        guide: g channels, finite.
        valid: False at pixels without data; None if there are none.
        radius: in pixels.
        eps: in squared units of the guide, above 0.

    Reference:
        He, Sun, Tang, "Guided image filtering", 2013, eqs. 19 to 21.
    """
    b, _, h, w = cube.shape
    rows = max(1, STRIP_PIXELS // (b * w))
    strips = []
    for top in range(0, h, rows):
        low = max(0, top - 2 * radius)
        seen = slice(low, top + rows + 2 * radius)
        flags = None if valid is None else valid[:, seen]
        filtered = _filtered(cube[:, :, seen], guide[:, :, seen], flags, radius, eps)
        strips.append(filtered[:, :, top - low : top - low + rows])
    return strips[0] if len(strips) == 1 else torch.cat(strips, 2)


def _filtered(
    cube: Float[Tensor, "b 1 h w"],
    guide: Float[Tensor, "b g h w"],
    valid: PixelMask | None,
    radius: int,
    eps: float,
) -> Float[Tensor, "b 1 h w"]:
    # Apple's devices have no float64.
    exact = cube.dtype if cube.device.type == "mps" else torch.float64
    image, guides = cube[:, 0].to(exact), list(guide.to(exact).unbind(1))
    g = len(guides)
    pairs = [(i, j) for i in range(g) for j in range(i + 1)]
    products = [guides[i] * guides[j] for i, j in pairs] + [one * image for one in guides]
    taps = [1.0] * (2 * radius + 1)
    means = _window_mean(torch.stack([*guides, image, *products], 1), valid, taps).unbind(1)
    of_guides, of_image = means[:g], means[g]
    covariance = {
        (i, j): means[g + 1 + n] - of_guides[i] * of_guides[j] + eps * (i == j)
        for n, (i, j) in enumerate(pairs)
    }
    shared = [means[g + 1 + len(pairs) + i] - of_guides[i] * of_image for i in range(g)]
    slopes = _solved(covariance, shared)
    offset = of_image - sum(a * m for a, m in zip(slopes, of_guides, strict=True))
    *slopes, offset = _window_mean(torch.stack([*slopes, offset], 1), valid, taps).unbind(1)
    result = offset + sum(a * one for a, one in zip(slopes, guides, strict=True))
    return result[:, None].to(cube.dtype)


def _solved(matrix: dict[tuple[int, int], Tensor], right: Sequence[Tensor]) -> list[Tensor]:
    """Return x with A x = y at every pixel, by the Cholesky factor A = L Lᵀ.

    Args:
        matrix: images of the entries of A on and below the diagonal; positive definite.
        right: images of the entries of y.
    """
    g = len(right)
    factor: dict[tuple[int, int], Tensor] = {}
    for i in range(g):
        for j in range(i + 1):
            rest = matrix[i, j] - sum(factor[i, k] * factor[j, k] for k in range(j))
            factor[i, j] = rest.sqrt() if i == j else rest / factor[j, j]
    half: list[Tensor] = []
    for i in range(g):
        half.append((right[i] - sum(factor[i, k] * half[k] for k in range(i))) / factor[i, i])
    found: dict[int, Tensor] = {}
    for i in reversed(range(g)):
        found[i] = (half[i] - sum(factor[k, i] * found[k] for k in range(i + 1, g))) / factor[i, i]
    return [found[i] for i in range(g)]


def _gaussian(distance: int, sigma: float) -> float:
    return float(torch.exp(torch.tensor(-(distance**2) / (2 * sigma**2), dtype=torch.float64)))


def _window_mean(cube: CubeTensor, valid: PixelMask | None, taps: Sequence[float]) -> CubeTensor:
    """Return Σ t x / Σ t over the valid pixels of a square window, weights t tᵀ; 0 where there are none."""
    if valid is None:
        ones = [torch.ones(side, dtype=cube.dtype, device=cube.device) for side in cube.shape[2:]]
        down, across = (_line_sum(one[None, None, None], taps, 3)[0, 0, 0] for one in ones)
        return _window_sum(cube, taps) / (down[:, None] * across)
    inside: Bool[Tensor, "b 1 h w"] = valid[:, None]
    total = _window_sum(torch.where(inside, cube, 0.0), taps)
    weight = _window_sum(inside.to(cube.dtype), taps)
    return total / torch.where(weight > 0, weight, 1.0)


def _window_sum(cube: CubeTensor, taps: Sequence[float]) -> CubeTensor:
    return _line_sum(_line_sum(cube, taps, 3), taps, 2)


def _line_sum(cube: CubeTensor, taps: Sequence[float], axis: int) -> CubeTensor:
    """Return the weighted sum of each pixel's neighbours along rows (axis 3) or columns (axis 2)."""
    radius, n = len(taps) // 2, cube.shape[axis]
    padded = pad(cube, (radius, radius, 0, 0) if axis == 3 else (0, 0, radius, radius))
    total = padded.narrow(axis, 0, n) * taps[0]
    for shift, tap in enumerate(taps[1:], 1):
        total = torch.add(total, padded.narrow(axis, shift, n), alpha=tap)
    return total
