"""Principal components and whitening factors of a covariance, in float64."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.errors import GraphError


class Components(NamedTuple):
    """Principal components, largest variance first."""

    vectors: Float[Tensor, "k c"]
    """Orthonormal rows; the coefficient of largest magnitude of each is positive."""
    variances: Float[Tensor, " k"]
    """Eigenvalues, the variance along each component."""


class Whitening(NamedTuple):
    """A factor L with ‖L(x − μ)‖² = (x − μ)ᵀ C⁺ (x − μ)."""

    factor: Float[Tensor, "r c"]
    """L, one row for each eigenvalue above the floor, signs fixed as those of `Components`."""
    condition: float
    """Greatest over least eigenvalue above the floor; inf if there is none."""


def principal_components(covariance: Float[Tensor, "c c"], k: int) -> Components:
    """Return the k leading eigenvectors of a covariance, with fixed signs."""
    values, vectors = torch.linalg.eigh(covariance)
    return Components(_sign_fixed(vectors.flip(1).T[:k]), values.flip(0)[:k].clamp(min=0.0))


def whitening(
    covariance: Float[Tensor, "c c"], eps: float = 0.0, dtype: torch.dtype = torch.float64
) -> Whitening:
    """Return a whitening factor of C = covariance + eps I.

    With C = V Λ Vᵀ it is L = Λ^(−1/2) Vᵀ, without the eigenvalues at or below a floor: the factor of
    the pseudo-inverse. The floor is c λ_max times the rounding noise that the eigenvalues carry: ε
    of float64 from the computation, and ε² from pixels that were rounded to a `dtype` of that ε. A
    covariance of zero gives no rows.

    Args:
        covariance: float64.
        eps: the ridge.
        dtype: what the pixels were stored in.
    """
    values, vectors = torch.linalg.eigh(covariance)
    values = values + eps
    noise = max(torch.finfo(values.dtype).eps, torch.finfo(dtype).eps ** 2)
    kept = values > len(values) * noise * values[-1].clamp(min=0.0)
    factor = _sign_fixed(vectors[:, kept].T) / values[kept].sqrt()[:, None]
    condition = float(values[kept][-1] / values[kept][0]) if bool(kept.any()) else float("inf")
    return Whitening(factor, condition)


def cholesky_whitening(covariance: Float[Tensor, "c c"], eps: float, where: str) -> Float[Tensor, "c c"]:
    """Return the inverse Cholesky factor of covariance + eps I: a whitening factor with a stable gradient.

    The gradient of eigenvectors blows up where eigenvalues meet; this one does not.

    Raises:
        GraphError: the matrix is singular; `where` names the node.
    """
    eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    lower, failed = torch.linalg.cholesky_ex(covariance + eps * eye)
    if int(failed):
        raise GraphError(
            f"{where}: expected a covariance of full rank, got a singular one. Give `eps` a small positive "
            f"value, or let fewer components enter."
        )
    factor: Tensor = torch.linalg.solve_triangular(lower, eye, upper=False)
    return factor


def _sign_fixed(rows: Float[Tensor, "r c"]) -> Float[Tensor, "r c"]:
    """Return the rows with the coefficient of largest magnitude positive."""
    return rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
