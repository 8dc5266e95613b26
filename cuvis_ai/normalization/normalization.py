"""Normalizers: nodes that rescale each channel."""

import logging
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from cuvis_ai.functional.affine import Affine
from cuvis_ai.node.base import AffineNode, FittedNode
from cuvis_ai.node.base.arguments import require
from cuvis_ai.stats import Extrema, Sketch, Structure
from cuvis_ai.types import CubeTensor, PixelMask

logger = logging.getLogger(__name__)


class MinMaxNormalizer(FittedNode, AffineNode):
    """Rescales each channel to 0 … 1: y = (x − min) / (max − min + eps).

    With `use_running_stats` the extremes are those of the training data; values beyond them leave
    0 … 1. Without, they are those of each channel of each cube separately, which makes cubes of
    different brightness look alike; such a node needs no fitting. A channel that does not vary
    carries nothing and becomes 0.

    Shape:
        input (b, c, h, w) → output (b, c, h, w); dtype and device kept.

    Args:
        eps: added to the range, in units of the input; 0 or more.
        use_running_stats: whether the extremes are learnt from the training data.

    State:
        running_min, running_max (c,): channel extremes; set by the statistical phase.

    Example:
        >>> node = MinMaxNormalizer(use_running_stats=False, eps=0.0)
        >>> node(torch.arange(4.0).view(1, 1, 2, 2)).flatten().tolist()
        [0.0, 0.3333333432674408, 0.6666666865348816, 1.0]
    """

    state_shapes: ClassVar = {"running_min": "c", "running_max": "c"}
    running_min: Tensor
    running_max: Tensor

    def __init__(self, eps: float = 1e-6, *, use_running_stats: bool = True) -> None:
        require(eps >= 0, "MinMaxNormalizer: eps", "0 or more", eps)
        super().__init__()
        self.eps = eps
        self.use_running_stats = use_running_stats
        if not use_running_stats:
            self.halo = None  # a cube that is cut has other extremes
            self.needs_valid = True

    @property
    @override
    def requires_initial_fit(self) -> bool:
        return self.use_running_stats

    @property
    @override
    def fitted(self) -> bool:
        return not self.use_running_stats or super().fitted

    @property
    @override
    def structure(self) -> Structure:
        return Structure.CHANNELWISE if self.use_running_stats else Structure.OPAQUE

    @property
    @override
    def sketch(self) -> type[Sketch] | None:
        return Extrema if self.use_running_stats else None

    @override
    def out_channels(self, in_channels: int | None) -> int | None:
        return in_channels

    @override
    def finalize(self, sketch: Extrema) -> None:
        self.set_state(running_min=sketch.low, running_max=sketch.high)
        constant = (self.running_max == self.running_min).nonzero().flatten().tolist()
        if constant:
            logger.warning(
                "%s: %d of %d channels do not vary in the training data and become 0: %s",
                self.label, len(constant), len(self.running_min), constant,
            )  # fmt: skip

    @override
    def affine(self) -> Affine:
        low = self.running_min
        return Affine(_inverse_range(low, self.running_max, self.eps), low, torch.zeros_like(low))

    @override
    def forward(self, cube: CubeTensor, valid: PixelMask | None = None) -> CubeTensor:
        if self.use_running_stats:
            return super().forward(cube)
        inside = torch.ones_like(cube[:, :1], dtype=torch.bool) if valid is None else valid[:, None]
        low, high = (
            end(torch.where(inside, cube, outside), (2, 3), keepdim=True).nan_to_num(
                nan=float("nan"), posinf=0.0, neginf=0.0
            )
            for end, outside in ((torch.amin, float("inf")), (torch.amax, -float("inf")))
        )
        return (cube - low) * _inverse_range(low, high, self.eps)


def _inverse_range(low: Tensor, high: Tensor, eps: float) -> Tensor:
    """Return 1 / (high − low + eps), or 0 where high = low."""
    spread = high - low
    constant = spread <= 0
    # Filled before as well: a division by zero would leave a NaN in the gradient.
    return (spread + eps).masked_fill(constant, 1).reciprocal().masked_fill(constant, 0)
