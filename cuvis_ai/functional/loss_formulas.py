"""Formulas of losses, by pixel; `training.losses` pools them over valid pixels."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as torch_functional

from cuvis_ai.types import PixelMask


def squared_error(
    output: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b 1 h w"]:
    """Return each pixel's squared error, averaged over channels.

    Example:
        >>> squared_error(torch.zeros(1, 2, 1, 1), torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)).item()
        5.0
    """
    return torch_functional.mse_loss(output, target, reduction="none").mean(1, keepdim=True)


def logistic_loss(
    logits: Float[Tensor, "b 1 h w"], mask: PixelMask, positive_weight: Float[Tensor, ""] | None = None
) -> Float[Tensor, "b 1 h w"]:
    """Return each pixel's binary cross-entropy, −w y log σ(z) − (1 − y) log(1 − σ(z)).

    Example:
        >>> loss = logistic_loss(torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, dtype=torch.bool))
        >>> round(loss.item(), 4)  # ln 2
        0.6931
    """
    with torch.autocast(logits.device.type, enabled=False):
        return torch_functional.binary_cross_entropy_with_logits(
            logits.float() if logits.dtype.itemsize < 4 else logits,
            mask[:, None].to(logits.dtype),
            pos_weight=positive_weight,
            reduction="none",
        )


def class_balanced_loss(
    logits: Float[Tensor, "b 1 h w"],
    mask: PixelMask,
    positive: Float[Tensor, ""],
    negative: Float[Tensor, ""],
) -> Float[Tensor, "b 1 h w"]:
    """Return each pixel's cross-entropy, weighted such that both classes count alike.

    Anomalous pixels weigh n / (2 n₁), normal ones n / (2 n₀): the mean over all n = n₁ + n₀ pixels is
    (Σ anomalous + n₁ / n₀ Σ normal) / (2 n₁), that is, half the sum of the two classes' means.

    Args:
        logits: z.
        mask: True at anomalies.
        positive: n₁, anomalous pixels of the training masks.
        negative: n₀, normal ones.

    Example:
        >>> mask = torch.tensor([[[True, False, False, False]]])
        >>> loss = class_balanced_loss(torch.zeros(1, 1, 1, 4), mask, torch.tensor(1.0), torch.tensor(3.0))
        >>> round(loss.mean().item(), 4), round((loss[mask[:, None]].sum() / loss.sum()).item(), 4)
        (0.6931, 0.5)
    """
    share = (positive + negative) / (2 * negative)
    return share * logistic_loss(logits, mask, negative / positive)


def anchor_penalty(
    drift: Float[Tensor, " m"], strength: float, positive: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Return λ / (2 · 2 n₁) ‖Δ‖², with the class-balanced loss the posterior of coefficients near a start.

    Args:
        drift: Δ, coefficients less those at the start, in logits per standard deviation.
        strength: λ, the prior's precision.
        positive: n₁, so that 2 n₁ is the number of effective pixels.

    Example:
        >>> anchor_penalty(torch.tensor([3.0, 4.0]), 0.2, torch.tensor(1.0)).item()
        1.25
    """
    return strength / (4 * positive) * drift.square().sum()


def uncertainty_weighted(
    losses: Float[Tensor, " m"], log_variances: Float[Tensor, " m"]
) -> Float[Tensor, ""]:
    """Return Σ Lᵢ / (2 σᵢ²) + ln(1 + σᵢ²) with sᵢ = log σᵢ²; at least 0 for losses of 0 or more.

    With ln σ² in place of ln(1 + σ²), as first proposed, a loss that reaches 0 would draw the sum below
    every bound.

    Example:
        >>> round(uncertainty_weighted(torch.tensor([2.0]), torch.tensor([0.0])).item(), 4)  # 2 / 2 + ln 2
        1.6931

    Reference:
        Liebel, Körner, "Auxiliary tasks in multi-task learning", 2018, eq. 3, after Kendall, Gal, Cipolla,
        "Multi-task learning using uncertainty to weigh losses for scene geometry and semantics", 2018, eq. 7.
    """
    return (0.5 * (-log_variances).exp() * losses + torch_functional.softplus(log_variances)).sum()
