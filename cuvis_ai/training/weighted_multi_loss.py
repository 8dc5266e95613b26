"""The loss that is a weighted sum of others; its formula lives in `functional`."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from typing_extensions import override

from cuvis_ai.functional.loss_formulas import uncertainty_weighted
from cuvis_ai.leaf import CompositeLoss, Loss
from cuvis_ai.node.base import require


class WeightedMultiLoss(CompositeLoss):
    """Combines losses: Σ wᵢ Lᵢ with fixed weights, or weights learnt from each loss' uncertainty.

    A child that is attached to a node already stays there; one that does not takes this leaf's parent.
    Either way it is logged by its own name and counts in the total through this leaf alone, with the
    weight given here: its own `weight` is not applied.

    Args:
        child_losses: the losses, or the names of losses in the graph.
        weights: one for each child, 0 or more (above 0 if learnable); by default the children's own.
        learnable: whether the weights are learnt, Σ ½ exp(−sᵢ) Lᵢ + ln(1 + exp sᵢ), starting from `weights`.

    State:
        log_variances (m,): sᵢ, a parameter, if learnable.

    Example:
        >>> from cuvis_ai.training.losses import MSEReconstructionLoss, OrthogonalityLoss
        >>> both = WeightedMultiLoss([OrthogonalityLoss(), MSEReconstructionLoss()], weights=[2.0, 0.5])
        >>> both.combine(torch.tensor([1.0, 4.0])).item()
        4.0

    Reference:
        See `functional.loss_formulas.uncertainty_weighted`.
    """

    def __init__(
        self,
        child_losses: Sequence[Loss | str],
        weights: Sequence[float] | None = None,
        *,
        learnable: bool = False,
    ) -> None:
        where = "WeightedMultiLoss"
        require(len(child_losses) > 0, f"{where}: child_losses", "at least one loss", list(child_losses))
        distinct = len({id(child) if isinstance(child, Loss) else child for child in child_losses})
        require(distinct == len(child_losses), f"{where}: child_losses", "each loss once", list(child_losses))
        if weights is None:
            missing = any(isinstance(child, str) for child in child_losses)
            require(not missing, f"{where}: weights", "a weight for each name", None)
            weights = [child.weight for child in child_losses if isinstance(child, Loss)]
        require(
            len(weights) == len(child_losses) and all(w > 0 or (w == 0 and not learnable) for w in weights),
            f"{where}: weights",
            f"{len(child_losses)} numbers, {'above 0' if learnable else '0 or more'}",
            list(weights),
        )
        super().__init__(child_losses)
        self.weights = [float(w) for w in weights]
        self.learnable = learnable
        if learnable:
            # ½ exp(−s) = w at the start.
            self.log_variances = nn.Parameter(-torch.log(2 * torch.tensor(self.weights)))

    @override
    def combine(self, losses: Float[Tensor, " m"]) -> Float[Tensor, ""]:
        if self.learnable:
            return uncertainty_weighted(losses, self.log_variances.to(losses))
        return (torch.tensor(self.weights, dtype=torch.float64).to(losses) * losses).sum()
