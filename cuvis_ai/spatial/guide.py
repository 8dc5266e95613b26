"""The guide of a guided filter: a few leading channels in units of the first."""

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from cuvis_ai.functional.affine import Affine, centred
from cuvis_ai.node.base import AffineNode, FittedNode, require
from cuvis_ai.stats import Moments


class Guide(FittedNode, AffineNode):
    """Gives the leading channels, divided by the standard deviation of the first: yᵢ = (xᵢ − mᵢ) / s₁.

    After a PCA these are the first components, which show where one material ends and another begins;
    their spreads relative to each other stay. If the first channel does not vary, the guide is 0.

    Shape:
        input (b, c, h, w) → output (b, min(n, c), h, w); dtype and device kept.

    Args:
        n: channels that are given, 1 or more; all where fewer enter.

    State:
        mean (c,): of what enters, in training.
        mean_rest (c,): what it is rounded by.
        inverse_deviation (1,): 1 / s₁.

    Example:
        >>> import torch
        >>> guide, moments = Guide(n=1), Moments()
        >>> moments.update(torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))  # mean 0, deviation 1
        >>> guide.finalize(moments)
        >>> guide(torch.tensor([3.0, 8.0]).view(1, 2, 1, 1)).flatten().tolist()
        [3.0]
    """

    state_shapes: ClassVar = {"mean": "c", "mean_rest": "c", "inverse_deviation": "1"}
    mean: Tensor
    mean_rest: Tensor
    inverse_deviation: Tensor
    sketch = Moments  # carried through a PCA, and shared with it; channel moments would take another pass

    def __init__(self, n: int = 3) -> None:
        require(n >= 1, "Guide: n", "a whole number, 1 or more", n)
        super().__init__()
        self.n = n

    @override
    def out_channels(self, in_channels: int | None) -> int | None:
        return None if in_channels is None else min(self.n, in_channels)

    @override
    def finalize(self, sketch: Moments) -> None:
        deviation = sketch.covariance()[:1, 0].clamp(min=0.0).sqrt()
        inverse = torch.where(deviation > 0, 1.0 / deviation, 0.0)
        self.set_state(mean=sketch.mean, inverse_deviation=inverse)

    @override
    def affine(self) -> Affine:
        given = torch.eye(len(self.mean), dtype=self.mean.dtype, device=self.mean.device)[: self.n]
        return centred(given * self.inverse_deviation, self.mean, self.mean_rest)
