"""Means over windows of valid pixels, and the filter that follows the edges of a guide.

Windows end at the image's border and leave out invalid pixels: a mean is over the pixels that are there.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from cuvis_ai.types import CubeTensor, PixelMask

LEAST = 1e-6
"""Mean scores below it count as this much: their logarithm would say nothing."""

STRIP_PIXELS = 2**15
"""Pixels that the guided filter works on at a time: its forty images then take 10 MB."""


def gaussian_mean(cube: CubeTensor, valid: PixelMask | None, sigma: float) -> CubeTensor:
    """Return Σ g x / Σ g over the valid pixels of 5 × 5 with g = exp(−distance² / 2 σ²), channel by channel.

    Where no pixel of a window is valid it is 0.

    Args:
        cube: finite.
        valid: False at pixels without data; None if there are none.
        sigma: σ in pixels.

    Example:
        >>> valid = torch.tensor([[[True, False, True]]])
        >>> gaussian_mean(torch.tensor([[[[2.0, 99.0, 4.0]]]]), valid, sigma=100.0).mean().round(
        ...     decimals=2
        ... ).item()
        3.0
    """
    taps = [math.exp(-(distance**2) / (2 * sigma**2)) for distance in range(-2, 3)]
    return _window_sum(_framed(cube, valid, 2), taps) * _inverse_weight(cube, valid, taps)


def log_mean(cube: CubeTensor, valid: PixelMask | None, sigma: float) -> CubeTensor:
    """Return log max(G ∗ x, 1e-6), G ∗ x being the Gaussian mean; 0 at invalid pixels.

    Example:
        >>> log_mean(torch.ones(1, 1, 4, 4), None, sigma=0.5).abs().max().item() < 1e-6
        True
    """
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

    Example:
        >>> image = torch.rand(1, 1, 6, 6)
        >>> same = guided_filter(image, image, None, radius=1, eps=1e-9)  # its own guide
        >>> torch.allclose(same, image, atol=1e-4)
        True

    Reference:
        He, Sun, Tang, "Guided image filtering", 2013, eqs. 19 to 21.
    """
    b, _, h, w = cube.shape
    rows = max(16 * radius, STRIP_PIXELS // (b * w))
    strips = []
    for top in range(0, h, rows):
        low = max(0, top - 2 * radius)
        seen = slice(low, top + rows + 2 * radius)
        flags = None if valid is None else valid[:, seen]
        filtered = filtered_at_once(cube[:, :, seen], guide[:, :, seen], flags, radius=radius, eps=eps)
        strips.append(filtered[:, :, top - low : top - low + rows])
    return strips[0] if len(strips) == 1 else torch.cat(strips, 2)


def filtered_at_once(
    cube: Float[Tensor, "b 1 h w"],
    guide: Float[Tensor, "b g h w"],
    valid: PixelMask | None,
    *,
    radius: int,
    eps: float,
) -> Float[Tensor, "b 1 h w"]:
    """Return what `guided_filter` does, without strips: some forty images are in memory at a time.

    Example:
        >>> image = torch.rand(1, 1, 6, 6)
        >>> whole = filtered_at_once(image, image, None, radius=1, eps=0.01)
        >>> torch.allclose(whole, guided_filter(image, image, None, radius=1, eps=0.01), atol=1e-6)
        True
    """
    # Apple's devices have no float64.
    exact = cube.dtype if cube.device.type == "mps" else torch.float64
    taps = [1.0] * (2 * radius + 1)
    share = _inverse_weight(cube.to(exact), valid, taps)
    inputs = torch.cat([guide, cube], 1).to(exact)
    # Products of zeros are zeros: what lies outside is set once.
    *guides, image = _framed(inputs, valid, radius).unbind(1)
    g = len(guides)
    pairs = [(i, j) for i in range(g) for j in range(i + 1)]
    products = [guides[i] * guides[j] for i, j in pairs] + [one * image for one in guides]
    sums = _window_sum(torch.stack([*guides, image, *products], 1), taps)
    means = (sums * share).unbind(1)
    of_guides, of_image, of_pairs, of_products = means[:g], means[g], means[g + 1 : -g], means[-g:]
    covariance = {
        (i, j): torch.addcmul(mean, of_guides[i], of_guides[j], value=-1)
        for (i, j), mean in zip(pairs, of_pairs, strict=True)
    }
    for i in range(g):
        covariance[i, i] = covariance[i, i] + eps
    shared = [
        torch.addcmul(mean, one, of_image, value=-1) for mean, one in zip(of_products, of_guides, strict=True)
    ]
    slopes = _solved(covariance, shared)
    offset = _less_products(of_image, slopes, of_guides)
    framed = _framed(torch.stack([*slopes, offset], 1), valid, radius)
    smoothed = _window_sum(framed, taps) * share
    result = (smoothed[:, :g] * inputs[:, :g]).sum(1, keepdim=True) + smoothed[:, g:]
    return result.to(cube.dtype)


def _solved(matrix: dict[tuple[int, int], Tensor], right: Sequence[Tensor]) -> list[Tensor]:
    """Return x with A x = y at every pixel, by the Cholesky factor A = L Lᵀ.

    Args:
        matrix: images of the entries of A on and below the diagonal; positive definite.
        right: images of the entries of y.
    """
    g = len(right)
    factor: dict[tuple[int, int], Tensor] = {}
    inverse: list[Tensor] = []
    half: list[Tensor] = []
    for i in range(g):
        for j in range(i):
            rest = _less_products(
                matrix[i, j], [factor[i, k] for k in range(j)], [factor[j, k] for k in range(j)]
            )
            factor[i, j] = rest * inverse[j]
        row = [factor[i, k] for k in range(i)]
        inverse.append(_less_products(matrix[i, i], row, row).rsqrt())
        half.append(_less_products(right[i], row, half) * inverse[i])
    found: list[Tensor] = []
    for i in reversed(range(g)):
        column = [factor[k, i] for k in range(i + 1, g)]
        found.insert(0, _less_products(half[i], column, found) * inverse[i])
    return found


def _less_products(image: Tensor, left: Sequence[Tensor], right: Sequence[Tensor]) -> Tensor:
    """Return the image less the products of pairs of images."""
    for a, b in zip(left, right, strict=True):
        image = torch.addcmul(image, a, b, value=-1)
    return image


def _framed(cube: CubeTensor, valid: PixelMask | None, radius: int) -> Tensor:
    """Return the cube with 0 at invalid pixels and in a frame around it."""
    inside = cube if valid is None else torch.where(valid[:, None], cube, 0.0)
    return pad(inside, (radius,) * 4)


def _inverse_weight(like: CubeTensor, valid: PixelMask | None, taps: Sequence[float]) -> Tensor:
    """Return 1 / Σ t over the valid pixels of each window; 1 where there are none.

    To the last bit it is the same with `valid` None and True everywhere: a cube's values do not depend on
    whether another of its batch has invalid pixels.
    """
    radius = len(taps) // 2
    if valid is not None:
        weight = _window_sum(pad(valid[:, None].to(like.dtype), (radius,) * 4), taps)
        return 1.0 / torch.where(weight > 0, weight, 1.0)
    height, width = like.shape[2:]
    # Windows differ at the borders alone: all are in a small image.
    few = [min(side, len(taps)) for side in (height, width)]
    weight = 1.0 / _window_sum(pad(like.new_ones(1, 1, *few), (radius,) * 4), taps)
    down, across = (
        _place_in(small, side, like.device) for small, side in zip(few, (height, width), strict=True)
    )
    return weight.index_select(3, across).index_select(2, down)


def _place_in(small: int, side: int, device: torch.device) -> Tensor:
    """Return for each place of a line the one of a small line as far from the nearer end, or inside."""
    place = torch.arange(side, device=device)
    return torch.where(place < small // 2, place, (place - side + small).clamp(min=small // 2))


def _window_sum(framed: Tensor, taps: Sequence[float]) -> Tensor:
    return _line_sum(_line_sum(framed, taps, 3), taps, 2)


def _line_sum(framed: Tensor, taps: Sequence[float], axis: int) -> Tensor:
    """Return the weighted sum of each pixel's neighbours along an axis, whose frame goes."""
    n = framed.shape[axis] - len(taps) + 1
    total = framed.narrow(axis, 0, n) * taps[0]
    for shift, tap in enumerate(taps[1:], 1):
        total.add_(framed.narrow(axis, shift, n), alpha=tap)
    return total
