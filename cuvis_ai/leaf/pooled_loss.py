"""The base of losses that are no mean over pixels, but a function of sums over pixels."""

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.leaf.bases import Loss
from cuvis_ai.leaf.reading import View


class PooledLoss(Loss):
    """A function of sums over pixels, such as a distance of class means.

    A step's value is that of its batch. The epoch's is the function of the sums over all pixels of all
    batches and ranks, added in float64, so it does not depend on how pixels are batched.

    Example:
        >>> import torch
        >>> from cuvis_ai.leaf.reading import Read
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> class Closeness(PooledLoss):  # minus the distance of the class means of the first channel
        ...     def reads(self):
        ...         return frozenset({Read.OUTPUT, Read.MASK})
        ...
        ...     def sums(self, view):
        ...         scores, mask = view[Read.OUTPUT][:, 0], view[Read.MASK]
        ...         counted = torch.ones_like(mask) if view.valid is None else view.valid
        ...         normal, anomalous = (~mask & counted).to(scores), (mask & counted).to(scores)
        ...         return torch.stack(
        ...             [normal.sum(), (normal * scores).sum(), anomalous.sum(), (anomalous * scores).sum()]
        ...         )
        ...
        ...     def of_sums(self, sums):
        ...         n0, total0, n1, total1 = sums.unbind()
        ...         return -(total1 / n1.clamp(min=1) - total0 / n0.clamp(min=1)).abs()
        >>> mask = torch.tensor([[[True, False]]])
        >>> Closeness()(View(TrainablePCA(1), {Read.OUTPUT: mask[:, None] * 3.0, Read.MASK: mask})).item()
        -3.0
    """

    @abstractmethod
    def sums(self, view: View) -> Float[Tensor, " m"]:
        """Return sums over the pixels of a batch that count, always as many."""

    @abstractmethod
    def of_sums(self, sums: Float[Tensor, " m"]) -> Float[Tensor, ""]:
        """Return the unweighted loss of such sums, in their dtype; finite for an empty batch, too."""

    @override
    def forward(self, view: View) -> Float[Tensor, ""]:
        return self.of_sums(self.sums(view))
