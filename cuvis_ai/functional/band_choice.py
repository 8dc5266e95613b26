"""Choices of k bands from moments: they separate two classes, explain the others, vary most, or are even.

All are exact in float64 and cost milliseconds. Ties within 1e-9 relative go to the lower band.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cuvis_ai.errors import GraphError

LEAST_LEFT = 1e-10
"""A band of which the chosen ones leave less than this share of its variance adds nothing of its own."""
TIE = 1e-9
"""Gains that differ by less, relative, are equal."""


def separating_bands(
    covariance: Float[Tensor, "c c"], difference: Float[Tensor, " c"], k: int, eps: float = 1e-6
) -> list[int]:
    """Return k bands, as picked, in which two classes are far apart by the Mahalanobis distance.

    k times j = argmax r_j² / R_jj, where R and r are deflated by what is chosen, R − R_·j R_j· / R_jj and
    r − R_·j r_j / R_jj: stepwise discriminant analysis. Then each band in turn is exchanged for the best
    one beside the others.

    Args:
        covariance: of the normal pixels, in float64; R is this plus eps times its diagonal.
        difference: r, of the means of the two classes.
        k: how many.
        eps: ridge, as a share of each band's variance; 0 or more.

    Raises:
        GraphError: k exceeds the rank.

    Example:
        >>> variances = torch.eye(4, dtype=torch.float64)
        >>> separating_bands(variances, torch.tensor([0.0, 3.0, 1.0, 2.0], dtype=torch.float64), 2)
        [1, 3]
    """
    start = correlations(covariance)
    start = start + eps * torch.diag(start.diagonal())
    apart = difference / _deviation(covariance)
    left, r, chosen = start.diagonal().clone(), apart.clone(), list[int]()
    steps = start.new_zeros(k, len(start))  # R less their products is what is left
    for n in range(k):
        j = _best(r.square(), left, start.diagonal(), chosen, k)
        chosen.append(j)
        steps[n] = (start[j] - steps[:n, j] @ steps[:n]) / left[j].sqrt()
        r -= steps[n] * (r[j] / steps[n, j])
        left -= steps[n].square()
    return _exchanged(start, apart, chosen)


def _exchanged(start: Float[Tensor, "c c"], apart: Float[Tensor, " c"], chosen: list[int]) -> list[int]:
    """Return the bands after one sweep of exchanges."""
    chosen = list(chosen)
    for place, band in enumerate(chosen):
        others = chosen[:place] + chosen[place + 1 :]
        rows = start[others]
        projected = rows.T @ torch.linalg.inv(rows[:, others])
        left = start.diagonal() - torch.einsum("cs,sc->c", projected, rows)
        r = apart - projected @ apart[others]
        j = _best(r.square(), left, start.diagonal(), others, len(chosen))
        if float(r[j].square() / left[j]) > float(r[band].square() / left[band]) * (1 + TIE):
            chosen[place] = j
    return chosen


def explaining_bands(covariance: Float[Tensor, "c c"], k: int) -> list[int]:
    """Return k bands, as picked, that explain the others best: j = argmax ‖R_·j‖² / R_jj.

    R is the correlation matrix, deflated by what is chosen, R − R_·j R_j· / R_jj.

    Args:
        covariance: of all pixels, in float64.
        k: how many.

    Raises:
        GraphError: k exceeds the rank.

    Example:
        >>> spectra = torch.tensor([[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
        >>> explaining_bands(torch.cov(spectra.double().T), 2)  # bands 0 and 1 are copies
        [0, 2]
    """
    left = correlations(covariance)
    start, chosen = left.diagonal().clone(), list[int]()
    for _ in range(k):
        j = _best(torch.linalg.vector_norm(left, dim=0).square(), left.diagonal(), start, chosen, k)
        chosen.append(j)
        column = left[:, j].clone()
        left.addr_(column, column, alpha=-1 / float(column[j]))
    return chosen


def varying_bands(covariance: Float[Tensor, "c c"], k: int) -> list[int]:
    """Return the k bands of the greatest variance, mostly neighbours, greatest first.

    Example:
        >>> varying_bands(torch.diag(torch.tensor([1.0, 9.0, 4.0])), 2)
        [1, 2]
    """
    return falling(covariance.diagonal())[:k].tolist()


def even_bands(positions: Float[Tensor, " c"], k: int) -> list[int]:
    """Return the k bands nearest to evenly spaced positions from the least to the greatest.

    Example:
        >>> even_bands(torch.tensor([400.0, 420.0, 700.0, 980.0, 1000.0]), 3)
        [0, 2, 4]
    """
    from scipy.optimize import linear_sum_assignment  # heavy; starts by other methods do without

    low, high = positions.min(), positions.max()
    ideal = torch.linspace(0, 1, k, dtype=positions.dtype) if k > 1 else positions.new_full((1,), 0.5)
    distance = (low + (high - low) * ideal)[:, None] - positions
    # Each band once, such that the distances sum to the least.
    return [int(band) for band in linear_sum_assignment(distance.abs().numpy())[1]]


def explained_share(covariance: Float[Tensor, "c c"], chosen: list[int]) -> float:
    """Return the mean R² of the other bands, predicted linearly from the chosen ones; 1 without others.

    Example:
        >>> copies = torch.ones(3, 3, dtype=torch.float64)
        >>> explained_share(copies, [0]), explained_share(torch.eye(3, dtype=torch.float64), [0])
        (1.0, 0.0)
    """
    correlation = correlations(covariance)
    varies = (correlation.diagonal() > 0).tolist()
    others = [band for band, v in enumerate(varies) if v and band not in set(chosen)]
    if not others:
        return 1.0
    rows = correlation[chosen][:, others]
    inverse = torch.linalg.pinv(correlation[chosen][:, chosen], hermitian=True)
    return float((rows * (inverse @ rows)).sum(0).mean())


def class_distance(
    covariance: Float[Tensor, "c c"], difference: Float[Tensor, " c"], chosen: list[int]
) -> float:
    """Return the Mahalanobis distance of two classes in the chosen bands, √(rᵀ R⁻¹ r).

    Example:
        >>> class_distance(
        ...     torch.diag(torch.tensor([1.0, 4.0])).double(), torch.tensor([3.0, 8.0]).double(), [0, 1]
        ... )
        5.0
    """
    deviation = _deviation(covariance)[chosen]
    part = covariance[chosen][:, chosen] / torch.outer(deviation, deviation)
    r = difference[chosen] / deviation
    return float((r @ (torch.linalg.pinv(part, hermitian=True) @ r)).clamp(min=0).sqrt())


def correlations(covariance: Float[Tensor, "c c"]) -> Float[Tensor, "c c"]:
    """Return the correlation matrix; 0 for bands that do not vary.

    Example:
        >>> correlations(torch.tensor([[4.0, 2.0], [2.0, 4.0]])).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    deviation = _deviation(covariance)
    return covariance / torch.outer(deviation, deviation)


def falling(values: Float[Tensor, " c"]) -> Int[Tensor, " c"]:
    """Return the bands by falling value; of equal ones the lower first.

    Example:
        >>> falling(torch.tensor([1.0, 3.0, 3.0])).tolist()
        [1, 2, 0]
    """
    return torch.sort(values, descending=True, stable=True).indices


def _deviation(covariance: Float[Tensor, "c c"]) -> Float[Tensor, " c"]:
    """Return standard deviations; 1 for bands that do not vary, whose correlations are then 0."""
    variance = covariance.diagonal()
    return torch.where(variance > 0, variance, 1.0).sqrt()


def _best(
    gains: Float[Tensor, " c"],
    left: Float[Tensor, " c"],
    start: Float[Tensor, " c"],
    chosen: list[int],
    k: int,
) -> int:
    """Return the lowest band of the greatest gain / left among those that have variance of their own left."""
    possible = left > LEAST_LEFT * start
    possible[chosen] = False
    if not bool(possible.any()):
        raise GraphError(
            f"n_select={k}: expected at most as many bands as the training data's rank, got more: after "
            f"{len(chosen)} bands the others add nothing. Ask for {len(chosen)} or fewer."
        )
    ratio = torch.where(possible, gains / torch.where(possible, left, 1.0), -1.0)
    greatest = ratio.max()
    return int(torch.nonzero(ratio >= greatest - TIE * greatest.abs())[0])
