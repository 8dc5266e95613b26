"""Formulas of losses, by pixel; `training.losses` pools them over valid pixels."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as torch_functional

from cuvis_ai.types import PixelMask


def squared_error(
    output: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b 1 h w"]:
    """Return each pixel's squared error, averaged over channels."""
    return torch_functional.mse_loss(output, target, reduction="none").mean(1, keepdim=True)


def logistic_loss(
    logits: Float[Tensor, "b 1 h w"], mask: PixelMask, positive_weight: Float[Tensor, ""] | None = None
) -> Float[Tensor, "b 1 h w"]:
    """Return each pixel's binary cross-entropy, −w y log σ(z) − (1 − y) log(1 − σ(z))."""
    with torch.autocast(logits.device.type, enabled=False):
        return torch_functional.binary_cross_entropy_with_logits(
            logits.float() if logits.dtype.itemsize < 4 else logits,
            mask[:, None].to(logits.dtype),
            pos_weight=positive_weight,
            reduction="none",
        )


def uncertainty_weighted(
    losses: Float[Tensor, " m"], log_variances: Float[Tensor, " m"]
) -> Float[Tensor, ""]:
    """Return Σ Lᵢ / (2 σᵢ²) + ln(1 + σᵢ²) with sᵢ = log σᵢ²; at least 0 for losses of 0 or more.

    With ln σ² in place of ln(1 + σ²), as first proposed, a loss that reaches 0 would draw the sum below
    every bound.

    Reference:
        Liebel, Körner, "Auxiliary tasks in multi-task learning", 2018, eq. 3, after Kendall, Gal, Cipolla,
        "Multi-task learning using uncertainty to weigh losses for scene geometry and semantics", 2018, eq. 7.
    """
    return (0.5 * (-log_variances).exp() * losses + torch_functional.softplus(log_variances)).sum()
