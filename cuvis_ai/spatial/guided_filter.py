"""The guided filter: smooths an image without blurring the edges of another."""

from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.filters import filtered_at_once, guided_filter
from cuvis_ai.node.base import Node, one_channel, require
from cuvis_ai.types import CubeTensor, MappedCube, PixelMask


class GuidedFilter(Node):
    """Smooths the first channel along the structures of the others, its guide.

    In each window the output is the affine function of the guide that is nearest to the input, with a ridge
    `eps` on its slope; a pixel gets the mean over the windows that it is in. Windows hold valid pixels alone.

    Shape:
        input (b, 1 + g, h, w), the image and then g channels of guide → output (b, 1, h, w); dtype and
        device kept. Add it with the parents [image, guide].

    Args:
        radius: of the windows, in pixels; 1 or more.
        eps: above 0, in squared units of the guide. Where the guide varies less than √eps, it is smoothed.

    Example:
        >>> import torch
        >>> step = (torch.arange(6.0) >= 3).float().expand(1, 1, 6, 6)
        >>> noisy = step + 0.2 * torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(0))
        >>> smoothed = GuidedFilter()(torch.cat([noisy, step], 1), None)
        >>> bool((smoothed - step).std() < 0.6 * (noisy - step).std())  # less noise, the same edge
        True

    Reference:
        He, Sun, Tang, "Guided image filtering", 2013, section 3.4.
    """

    out_channels = one_channel

    def __init__(self, radius: int = 1, eps: float = 1e-2) -> None:
        require(radius >= 1, "GuidedFilter: radius", "a whole number, 1 or more", radius)
        require(eps > 0, "GuidedFilter: eps", "above 0", eps)
        super().__init__()
        self.radius = radius
        self.eps = eps
        self.halo = 2 * radius

    @override
    def forward(self, cube: CubeTensor, valid: PixelMask | None = None) -> MappedCube:
        """Return the filtered first channel; `valid` is False at pixels without data."""
        if cube.shape[1] < 2:
            raise GraphError(
                f"{self.label}: expected an image and its guide, 2 channels or more, got {cube.shape[1]}. "
                f"Add it with two parents: `graph.add_node(GuidedFilter(), parent=[scores, guide])`."
            )
        everywhere = valid is None or bool(valid.all())
        return guided_filter(
            cube[:, :1], cube[:, 1:], None if everywhere else valid, radius=self.radius, eps=self.eps
        )

    def recorded(self, cube: CubeTensor, valid: PixelMask | None) -> MappedCube:
        """Return the same at once, for an exported model."""
        return filtered_at_once(cube[:, :1], cube[:, 1:], valid, radius=self.radius, eps=self.eps)
