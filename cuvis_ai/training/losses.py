"""Losses; each formula lives in `functional`.

May import: `types`, `errors`, `functional`, `node.base`, `training.leaf`.
"""

from jaxtyping import Float
from torch import Tensor

from cuvis_ai.functional.components import orthogonality_penalty
from cuvis_ai.node.base import Node
from cuvis_ai.training.leaf import Loss, View, components_of


class OrthogonalityLoss(Loss):
    """Penalizes components that are not orthonormal: ‖W Wᵀ − I‖²_F, rows of W being components.

    Reads weights alone. Below rounding level it is 0 with zero gradient, so that a statistical start,
    which is orthonormal already, stays where it is.

    Args:
        weight: factor in the total loss; 0 or more.
    """

    log_name = "orthogonality"

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def check_parent(self, parent: Node, channels: int | None) -> None:
        """The parent needs components."""
        components_of(parent, self)

    def forward(self, view: View) -> Float[Tensor, ""]:
        """Return the penalty on the parent's components."""
        return orthogonality_penalty(components_of(view.parent, self).components)
