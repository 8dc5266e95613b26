"""The white top-hat: what is small and stands out."""

from typing_extensions import override

from cuvis_ai.functional.morphology import top_hat
from cuvis_ai.node.base import Node, require, same_channels
from cuvis_ai.types import CubeTensor, MappedCube, PixelMask


class TopHat(Node):
    """Removes the background, of which all is that a square or a line of pixels fits into: T = L − B.

    B is the mean of the opening of L by a square of side 2 · round(.35 · extent) + 1 and of the greatest of
    its openings by four centred lines of `extent` pixels, at 0°, 45°, 90° and 135°. Fields, roads and edges
    go; compact things that are smaller than `extent` stay. Nothing outside the image or at an invalid pixel
    enters an opening; T is 0 or more, and 0 at invalid pixels. Gradients are subgradients: they go to the
    pixel where the least value of a window is.

    Shape:
        input (b, c, h, w) → output (b, c, h, w); dtype and device kept.

    Args:
        extent: in pixels, odd, 3 or more; about 1.5 times the width of the widest thing that is looked for.
            What is wider vanishes.

    Example:
        >>> import torch
        >>> cube = torch.ones(1, 1, 9, 9)
        >>> cube[..., :4, :] = 5.0  # a field is background
        >>> cube[0, 0, 7, 4] = 3.0  # a single pixel is not
        >>> detail = TopHat(extent=7)(cube, None)
        >>> int((detail > 0).sum()), detail.max().item()
        (1, 2.0)

    Reference:
        Soille, "Morphological Image Analysis", 2003, section 4.5.
    """

    out_channels = same_channels

    def __init__(self, extent: int = 13) -> None:
        require(
            extent >= 3 and extent % 2 == 1,
            "TopHat: extent", "an odd number of pixels, 3 or more", extent,
        )  # fmt: skip
        super().__init__()
        self.extent = extent
        self.halo = 2 * (extent // 2)

    @override
    def forward(self, cube: CubeTensor, valid: PixelMask | None = None) -> MappedCube:
        """Return what stands out of the background; `valid` is False at pixels without data."""
        everywhere = valid is None or bool(valid.all())
        return self.recorded(cube, None if everywhere else valid)

    def recorded(self, cube: CubeTensor, valid: PixelMask | None) -> MappedCube:
        """Return the same without a look at the values of `valid`, for an exported model."""
        return top_hat(cube, valid, self.extent)
