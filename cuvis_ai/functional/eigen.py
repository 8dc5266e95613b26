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
    """A factor L with ‖L(x − μ)‖² = (x − μ)ᵀ C⁻¹ (x − μ)."""

    factor: Float[Tensor, "r c"]
    """L, one row for each eigenvalue above the floor."""
    condition: float
    """Greatest over least eigenvalue of the correlation above the floor; inf if there is none."""


def principal_components(covariance: Float[Tensor, "c c"], k: int) -> Components:
    """Return the k leading eigenvectors of a covariance, with fixed signs.

    Example:
        >>> components = principal_components(torch.diag(torch.tensor([1.0, 9.0])).double(), 1)
        >>> components.vectors.tolist(), components.variances.tolist()
        ([[0.0, 1.0]], [9.0])
    """
    values, vectors = torch.linalg.eigh(covariance)
    return Components(_sign_fixed(vectors.flip(1).T[:k]), values.flip(0)[:k].clamp(min=0.0))


def rank_of(covariance: Float[Tensor, "c c"], dtype: torch.dtype) -> int:
    """Return how many eigenvalues of a float64 covariance are above the rounding of pixels of a `dtype`.

    Example:
        >>> rank_of(torch.ones(3, 3, dtype=torch.float64), torch.float32)  # three copies of a band
        1
    """
    values = torch.linalg.eigvalsh(covariance)
    return int((values > _floor(values, dtype)).sum())


def whitening(
    covariance: Float[Tensor, "c c"],
    eps: float = 0.0,
    dtype: torch.dtype = torch.float64,
    mean: Float[Tensor, " c"] | None = None,
) -> Whitening:
    """Return a whitening factor of C = covariance + eps I, unchanged by the units of the channels.

    With the deviations D = √diag C and the correlation D⁻¹ C D⁻¹ = V Λ Vᵀ it is L = V Λ^(−1/2) Vᵀ D⁻¹,
    which varies continuously with C also where eigenvalues meet, as they do after a PCA. If some lie at or
    below a floor it is Λ^(−1/2) Vᵀ D⁻¹ without them: LᵀL is C⁻¹, or D⁻¹ times the correlation's
    pseudo-inverse times D⁻¹. The floor is c λ_max times the rounding noise that the eigenvalues carry: ε
    of float64 from the computation, and ε² from pixels that were rounded to a `dtype` of that ε. Without a
    ridge, a channel whose deviation is below the rounding of its mean is constant and left out before. A
    covariance of zero gives no rows.

    Args:
        covariance: float64.
        eps: the ridge.
        dtype: what the pixels were stored in.
        mean: of the pixels, to tell constant channels; without it those of no deviation are.

    Example:
        >>> factor = whitening(torch.diag(torch.tensor([4.0, 16.0])).double()).factor
        >>> (factor.T @ factor).diagonal().tolist()  # the inverse covariance
        [0.25, 0.0625]
    """
    deviation = (covariance.diagonal() + eps).clamp(min=0.0).sqrt()
    least = 0.0 if mean is None or eps > 0 else torch.finfo(dtype).eps * mean.abs()
    inverse = torch.where(deviation > least, 1.0 / deviation, 0.0)
    correlation = inverse[:, None] * covariance * inverse + torch.diag(eps * inverse.square())
    values, vectors = torch.linalg.eigh(correlation)
    counted = values > _floor(values, dtype)
    rows = vectors[:, counted].T / values[counted].sqrt()[:, None] * inverse
    factor = vectors @ rows if bool(counted.all()) else _sign_fixed(rows)
    condition = float(values[counted][-1] / values[counted][0]) if bool(counted.any()) else float("inf")
    return Whitening(factor, condition)


def ridged_whitening(covariance: Float[Tensor, "c c"], ridge: float) -> Float[Tensor, "r c"]:
    """Return L with LᵀL = V (Λ + ridge I)⁻¹ Vᵀ of a covariance V Λ Vᵀ, without eigenvalues below 1e-12 λ_max.

    The eigenvalues are those of the covariance itself, so that the ridge weighs all channels alike. L is zero
    below its diagonal, which saves nearly half of a product with it: (Λ + ridge I)^(−1/2) Vᵀ turned by the
    Q of its QR decomposition.

    Example:
        >>> factor = ridged_whitening(torch.diag(torch.tensor([3.0, 15.0])).double(), ridge=1.0)
        >>> (factor.T @ factor).diagonal().tolist()
        [0.25, 0.0625]
    """
    values, vectors = torch.linalg.eigh(covariance)
    counted = values > 1e-12 * values[-1].clamp(min=0.0)
    return _sign_fixed(torch.linalg.qr(vectors[:, counted].T / (values[counted] + ridge).sqrt()[:, None]).R)


def _floor(values: Float[Tensor, " c"], dtype: torch.dtype) -> Float[Tensor, ""]:
    """Return what ascending eigenvalues may be by rounding alone."""
    noise = max(torch.finfo(torch.float64).eps, torch.finfo(dtype).eps ** 2)
    return len(values) * noise * values[-1].clamp(min=0.0)


def cholesky_whitening(
    covariance: Float[Tensor, "c c"], eps: float | Float[Tensor, ""], where: str
) -> Float[Tensor, "c c"]:
    """Return the inverse Cholesky factor of covariance + eps I: a whitening factor with a stable gradient.

    The gradient of eigenvectors blows up where eigenvalues meet; this one does not. The matrix is factorized
    in units of its channels' deviations, so that they do not matter.

    Raises:
        GraphError: the matrix is singular; `where` names the node.

    Example:
        >>> factor = cholesky_whitening(torch.diag(torch.tensor([4.0, 16.0])).double(), 0.0, "RXGlobal `rx`")
        >>> (factor.T @ factor).diagonal().tolist()
        [0.25, 0.0625]
    """
    eye = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    ridged = covariance + eps * eye
    inverse = ridged.detach().diagonal().clamp(min=torch.finfo(ridged.dtype).tiny).rsqrt()
    lower, failed = torch.linalg.cholesky_ex(inverse[:, None] * ridged * inverse)
    if int(failed):
        raise GraphError(
            f"{where}: expected a covariance of full rank, got a singular one. Give `eps` a small positive "
            f"value, or let fewer components enter."
        )
    factor: Tensor = torch.linalg.solve_triangular(lower, torch.diag(inverse), upper=False)
    return factor


def _sign_fixed(rows: Float[Tensor, "r c"]) -> Float[Tensor, "r c"]:
    """Return the rows with the coefficient of largest magnitude positive."""
    return rows * rows.gather(1, rows.abs().argmax(1, keepdim=True)).sign()
