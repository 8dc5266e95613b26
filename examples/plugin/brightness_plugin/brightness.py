"""Normalization by brightness."""

from collections.abc import Iterator

import torch
from torch import Tensor
from typing_extensions import override

from cuvis_ai.node.base import Node


class Brightness(Node):
    """Divides by the greatest value of the training data.

    Args:
        scale: what the greatest value becomes.

    State:
        greatest (): set by the statistical phase.
    """

    requires_initial_fit = True
    greatest: Tensor

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("greatest", torch.ones(()))

    @override
    def out_channels(self, in_channels: int | None) -> int | None:
        return in_channels

    def initialize_from_data(self, cubes: Iterator[Tensor]) -> None:
        """Take the greatest value of all cubes."""
        self.greatest.fill_(max(float(cube.max()) for cube in cubes))

    @override
    def forward(self, cube: Tensor) -> Tensor:
        return cube * (self.scale / self.greatest)
