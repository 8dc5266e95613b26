"""The head that turns anomaly scores into logits."""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.functional.affine import Affine, centred
from cuvis_ai.functional.thresholds import above_mean
from cuvis_ai.node.base import AffineNode, FittedNode, check_channels, one_channel, require
from cuvis_ai.stats import ChannelMoments, Sketch, Structure


class RXLogitHead(FittedNode, AffineNode):
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
        bias_rest (1,): what it is rounded by at first.

    Example:
        >>> head = RXLogitHead(init_scale=2.0, init_bias=10.0)
        >>> head(torch.tensor([9.0, 10.0, 12.0]).view(1, 1, 1, 3)).flatten().tolist()
        [-2.0, 0.0, 4.0]
    """

    state_shapes: ClassVar = {"log_scale": "1", "bias": "1", "bias_rest": "1"}
    trained_names = ("log_scale", "bias")
    emits_logits = True
    log_scale: Tensor
    bias: Tensor
    bias_rest: Tensor
    structure = Structure.CHANNELWISE
    out_channels = one_channel

    def __init__(
        self, init_scale: float = 1.0, init_bias: float | None = None, *, trainable: bool = True
    ) -> None:
        require(init_scale > 0, "RXLogitHead: init_scale", "above 0", init_scale)
        super().__init__(trainable=trainable)
        self.init_scale = init_scale
        self.init_bias = init_bias
        self.set_state(**self.initial_state())

    @override
    def initial_state(self) -> Mapping[str, Tensor]:
        return {} if self.init_bias is None else self._state(self.init_bias)

    def _state(self, bias: float) -> dict[str, Tensor]:
        values = {"log_scale": math.log(self.init_scale), "bias": bias}
        return {name: torch.tensor([value], dtype=torch.float64) for name, value in values.items()}

    @property
    @override
    def requires_initial_fit(self) -> bool:
        return self.init_bias is None

    @property
    @override
    def sketch(self) -> type[Sketch] | None:
        return ChannelMoments if self.init_bias is None else None

    @property
    def scale(self) -> Float[Tensor, " n"]:
        """Logits per unit of score."""
        return self.log_scale.exp()

    @override
    def finalize(self, sketch: ChannelMoments) -> None:
        check_channels(self, 1, sketch.channels)
        mean, std = float(sketch.mean), float(sketch.variance().sqrt())
        self.set_state(**self._state(above_mean(mean, std, 2.0)))

    @override
    def affine(self) -> Affine:
        return centred(self.scale, self.bias, self.bias_rest)
