"""Detection of a known signature in whitened spectra, and the linear discriminant of two classes."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


def signed_coherence(
    along: Float[Tensor, "b 1 h w"], spectrum: Float[Tensor, "b r h w"]
) -> Float[Tensor, "b 1 h w"]:
    """Return a·|a| / |x|², and 0 where |x| = 0: the squared cosine to a direction, with the cosine's sign.

    A spectrum that is not finite gives no finite value.

    Args:
        along: a = xᵀs / |s|, the spectrum's component along the signature.
        spectrum: x, whitened.

    Example:
        >>> spectrum = torch.tensor([3.0, -4.0]).view(1, 2, 1, 1)
        >>> round(signed_coherence(spectrum[:, 1:], spectrum).item(), 2)  # −4² / 5², against the second axis
        -0.64

    Reference:
        Kraut, Scharf, McWhorter, "Adaptive subspace detectors", 2001, eq. 13, with the sign of a.
    """
    energy = spectrum.square().sum(1, keepdim=True)
    coherence = along * along.abs() / torch.where(energy > 0, energy, 1.0)
    # 0 or, where the energy is not finite, NaN: a finite `along` over an infinite energy would be 0.
    return coherence + (energy - energy)


class Discriminant(NamedTuple):
    """The logit scale · (f − bias), one for each of n scores f."""

    scale: Float[Tensor, " n"]
    """(m₁ − m₀) / s²."""
    bias: Float[Tensor, " n"]
    """(m₁ + m₀) / 2, where the logit is 0."""


def linear_discriminant(
    normal_mean: Float[Tensor, " n"], anomalous_mean: Float[Tensor, " n"], variance: Float[Tensor, " n"]
) -> Discriminant:
    """Return the logit of two normal distributions with one variance and equal priors.

    A deviation below the rounding of the means' distance in float32 counts as that rounding.

    Args:
        normal_mean: m₀.
        anomalous_mean: m₁.
        variance: s², pooled within the classes.

    Example:
        >>> one = linear_discriminant(
        ...     *(torch.tensor([value], dtype=torch.float64) for value in (1.0, 5.0, 2.0))
        ... )
        >>> one.scale.item(), one.bias.item()
        (2.0, 3.0)

    Reference:
        Fisher, "The use of multiple measurements in taxonomic problems", 1936; Hastie, Tibshirani,
        Friedman, "The elements of statistical learning", 2009, eq. 4.9.
    """
    distance = anomalous_mean - normal_mean
    rounding = (torch.finfo(torch.float32).eps * distance).square()
    return Discriminant(distance / torch.maximum(variance, rounding), (anomalous_mean + normal_mean) / 2)
