"""The head that turns anomaly scores into logits."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.functional.affine import Affine
from cuvis_ai.node.base import Node, require
from cuvis_ai.stats import ChannelMoments, Sketch, Structure
from cuvis_ai.types import CubeTensor, MappedCube


class RXLogitHead(Node):
    """Turns scores into logits: z = scale · (score − bias), scale > 0.

    The logarithm of the scale is what is trained, so the scale stays positive and a higher score
    always means a higher logit.

    Shape:
        input (b, 1, h, w) → output (b, 1, h, w); dtype and device kept.

    Args:
        init_scale: the scale at the start, in logits per unit of score; above 0.
        init_bias: the score with probability ½ at the start; None takes the mean plus two standard
            deviations of the training scores.
        trainable: whether scale and bias become parameters in the gradient phase.

    State:
        log_scale (1,): logarithm of the scale.
        bias (1,): the score with probability ½. Both are set at once if `init_bias` is given, else
            by the statistical phase.
    """

    state_names = ("log_scale", "bias")
    state_shapes: ClassVar = {"log_scale": "1", "bias": "1"}
    trained_names = ("log_scale", "bias")
    log_scale: Tensor
    bias: Tensor

    def __init__(
        self, init_scale: float = 1.0, init_bias: float | None = None, *, trainable: bool = True
    ) -> None:
        require(init_scale > 0, "RXLogitHead: init_scale", "above 0", init_scale)
        super().__init__(trainable=trainable)
        self.init_scale = init_scale
        self.init_bias = init_bias
        self.set_state(**self.initial_state())

    def initial_state(self) -> Mapping[str, Tensor]:
        """Scale and bias, if both are given."""
        return {} if self.init_bias is None else self._state(self.init_bias)

    def _state(self, bias: float) -> dict[str, Tensor]:
        return {"log_scale": torch.tensor([math.log(self.init_scale)]), "bias": torch.tensor([bias])}

    @property
    def requires_initial_fit(self) -> bool:
        """Only without `init_bias`."""
        return self.init_bias is None

    @property
    def structure(self) -> Structure:
        """Channelwise."""
        return Structure.CHANNELWISE

    @property
    def sketch(self) -> type[Sketch] | None:
        """Mean and variance of the scores, without `init_bias`."""
        return ChannelMoments if self.init_bias is None else None

    @property
    def emits_logits(self) -> bool:
        """It does."""
        return True

    @property
    def scale(self) -> Float[Tensor, " n"]:
        """Logits per unit of score."""
        return self.log_scale.exp()

    def out_channels(self, in_channels: int | None) -> int:
        """1, the logit."""
        return 1

    def finalize(self, sketch: Sketch) -> None:
        """Set the bias to the scores' mean plus two standard deviations (denominator n − 1)."""
        assert isinstance(sketch, ChannelMoments)
        self.check_channels(1, sketch.channels)
        self.set_state(**self._state(float(sketch.mean + 2 * sketch.variance().sqrt())))

    def affine(self) -> Affine:
        """The scale, centred at the bias."""
        return Affine(self.scale, self.bias, torch.zeros_like(self.bias))

    def forward(self, cube: CubeTensor) -> MappedCube:
        """Return the logits."""
        return self.spectral(cube)
