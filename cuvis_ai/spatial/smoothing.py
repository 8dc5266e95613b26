"""Smoothing of scores on a logarithmic scale."""

import torch  # noqa: F401 (the example)
from typing_extensions import override

from cuvis_ai.functional.filters import log_mean
from cuvis_ai.node.base import Node, require, same_channels
from cuvis_ai.types import CubeTensor, MappedCube, PixelMask


class LogSmooth(Node):
    """Gives the logarithm of a Gaussian mean: L = log max(G ∗ x, 1e-6), channel by channel.

    G has 5 × 5 pixels and is normalized over those of them that are valid and inside the image. Scores
    such as squared distances spread over orders of magnitude; their logarithm has contrasts that do not
    depend on how large they are.

    Shape:
        input (b, c, h, w), of 0 or more → output (b, c, h, w); dtype and device kept.

    Args:
        sigma: of G in pixels; above 0.

    Example:
        >>> round(LogSmooth()(torch.ones(1, 1, 4, 4)).abs().max().item(), 6)
        0.0
    """

    halo = 2
    out_channels = same_channels

    def __init__(self, sigma: float = 0.5) -> None:
        require(sigma > 0, "LogSmooth: sigma", "above 0", sigma)
        super().__init__()
        self.sigma = sigma

    @override
    def forward(self, cube: CubeTensor, valid: PixelMask | None = None) -> MappedCube:
        """Return the smoothed logarithm, 0 at invalid pixels; `valid` is False at pixels without data."""
        everywhere = valid is None or bool(valid.all())
        return self.recorded(cube, None if everywhere else valid)

    def recorded(self, cube: CubeTensor, valid: PixelMask | None) -> MappedCube:
        """Return the same without a look at the values of `valid`, for an exported model."""
        return log_mean(cube, valid, self.sigma)
