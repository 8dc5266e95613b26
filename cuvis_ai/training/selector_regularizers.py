"""Losses on the weights of a choice of bands alone; each formula lives in `functional`."""

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.functional.soft_selection import diversity_penalty, entropy_penalty
from cuvis_ai.leaf import Loss, View, needs_choice, selection_of
from cuvis_ai.node.base import require


class SelectorEntropyRegularizer(Loss):
    """Penalizes a choice for being decided: (log c − H) / (log c − log k), 0 at equal weights, 1 at k.

    H is the entropy of the soft probabilities at the present temperature. Once the choice is hard for good
    it has no gradient.

    Args:
        weight: factor in the total loss; 0 or more.
        target_entropy: H that is aimed at, in nats: the loss is then (H − target)².

    Example:
        >>> from cuvis_ai.node.selector import SoftChannelSelector
        >>> selector = SoftChannelSelector(2)
        >>> selector.logits.data = torch.tensor([90.0, 90.0, -90.0, -90.0])  # decided
        >>> round(SelectorEntropyRegularizer()(View(selector, {})).item(), 3)
        1.0
    """

    log_name = "selector_entropy"

    def __init__(self, weight: float = 0.01, target_entropy: float | None = None) -> None:
        require(
            target_entropy is None or target_entropy >= 0,
            "SelectorEntropyRegularizer: target_entropy", "0 or more, or None", target_entropy,
        )  # fmt: skip
        super().__init__(weight)
        self.target_entropy = target_entropy

    check_parent = needs_choice

    @override
    def forward(self, view: View) -> Float[Tensor, ""]:
        selection = selection_of(view.parent, self)
        weights = selection.get_selection_weights(hard=False)
        return entropy_penalty(weights, selection.n_select, self.target_entropy)


class SelectorDiversityRegularizer(Loss):
    """Penalizes a choice of bands that are alike: Σ_{i≠j} w_i w_j ρ_ij² / (k (k − 1)).

    ρ are the correlations of the training data: 0 for uncorrelated bands, 1 for copies. The weights are the
    soft ones at the present temperature; once the choice is hard for good it has no gradient.

    Args:
        weight: factor in the total loss; 0 or more.

    Example:
        >>> from cuvis_ai.node.selector import SoftChannelSelector
        >>> from cuvis_ai.stats import Moments
        >>> selector, moments = SoftChannelSelector(2, init_method="explained"), Moments()
        >>> moments.update(torch.tensor([[-2.0, -1.0], [-1.0, -2.0], [1.0, 2.0], [2.0, 1.0]]))  # ρ = .8
        >>> selector.finalize(moments)
        >>> round(SelectorDiversityRegularizer()(View(selector, {})).item(), 3)
        0.64
    """

    log_name = "selector_diversity"

    def __init__(self, weight: float = 0.01) -> None:
        super().__init__(weight)
        self._known: tuple[Tensor, Tensor] | None = None  # the moments that it was computed from, and it

    check_parent = needs_choice

    @override
    def forward(self, view: View) -> Float[Tensor, ""]:
        selection = selection_of(view.parent, self)
        if self._known is None or self._known[0] is not selection.band_cov:
            with torch.no_grad():
                self._known = selection.band_cov, selection.correlation
        weights = selection.get_selection_weights(hard=False)
        correlation = self._known[1].to(weights)
        return diversity_penalty(weights, correlation, selection.n_select)
