"""Normalizers: nodes that rescale each channel."""

import logging
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from cuvis_ai.functional.affine import Affine, centred
from cuvis_ai.node.base import AffineNode, FittedNode, require, same_channels
from cuvis_ai.stats import ChannelMoments, Extrema, Sketch, Structure
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
    out_channels = same_channels

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
    def finalize(self, sketch: Extrema) -> None:
        self.set_state(running_min=sketch.low, running_max=sketch.high)
        _warn_of_constant(self, self.running_max == self.running_min)

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


class StandardNormalizer(FittedNode, AffineNode):
    """Brings each channel to mean 0 and standard deviation 1: y = (x − mean) / (std + eps).

    Mean and standard deviation (denominator n) are those of the valid training pixels. A channel that does
    not vary carries nothing and becomes 0.

    Shape:
        input (b, c, h, w) → output (b, c, h, w); dtype and device kept.

    Args:
        eps: added to the standard deviation, in units of the input; 0 or more.
        per_channel: whether each channel has its own mean and standard deviation; else those of the values
            of all channels together, which keeps the shape of the spectra.

    State:
        running_mean, running_std (c,): set by the statistical phase; equal in all channels without
            `per_channel`.
        running_mean_rest (c,): what the mean is rounded by.

    Example:
        >>> from cuvis_ai.stats import ChannelMoments
        >>> node, moments = StandardNormalizer(eps=0.0), ChannelMoments()
        >>> moments.update(torch.tensor([[1.0], [3.0]]))
        >>> node.finalize(moments)
        >>> node(torch.tensor([1.0, 3.0, 4.0]).view(1, 1, 1, 3)).flatten().tolist()
        [-1.0, 1.0, 2.0]
    """

    state_shapes: ClassVar = {"running_mean": "c", "running_mean_rest": "c", "running_std": "c"}
    running_mean: Tensor
    running_mean_rest: Tensor
    running_std: Tensor
    sketch = ChannelMoments
    structure = Structure.CHANNELWISE
    out_channels = same_channels

    def __init__(self, eps: float = 1e-6, *, per_channel: bool = True) -> None:
        require(eps >= 0, "StandardNormalizer: eps", "0 or more", eps)
        super().__init__()
        self.eps = eps
        self.per_channel = per_channel

    @override
    def finalize(self, sketch: ChannelMoments) -> None:
        mean, variance = sketch.mean, sketch.variance(ddof=0)
        if not self.per_channel:
            # Of all values: the variance inside the channels, and that of their means.
            common = mean.mean()
            variance = (variance.mean() + (mean - common).square().mean()).expand(len(mean))
            mean = common.expand(len(mean))
        std = variance.sqrt()
        # A constant's float64 sums leave some 1e-16 of it; a single float32 step in 1e9 pixels leaves 1e-12.
        constant = std <= 1e-12 * mean.abs()
        self.set_state(running_mean=mean, running_std=std.masked_fill(constant, 0.0))
        _warn_of_constant(self, constant)

    @override
    def affine(self) -> Affine:
        scale = _inverse_range(torch.zeros_like(self.running_std), self.running_std, self.eps)
        return centred(scale, self.running_mean, self.running_mean_rest)


def _warn_of_constant(node: FittedNode, constant: Tensor) -> None:
    channels = constant.nonzero().flatten().tolist()
    if channels:
        logger.warning(
            "%s: %d of %d channels do not vary in the training data and become 0: %s",
            node.label, len(channels), len(constant), channels,
        )  # fmt: skip


def _inverse_range(low: Tensor, high: Tensor, eps: float) -> Tensor:
    """Return 1 / (high − low + eps), or 0 where high = low."""
    spread = high - low
    constant = spread <= 0
    # Filled before as well: a division by zero would leave a NaN in the gradient.
    return (spread + eps).masked_fill(constant, 1).reciprocal().masked_fill(constant, 0)
