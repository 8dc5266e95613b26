"""Losses; each formula lives in `functional`."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.component_quality import orthogonality_penalty
from cuvis_ai.functional.loss_formulas import (
    anchor_penalty,
    class_balanced_loss,
    logistic_loss,
    squared_error,
)
from cuvis_ai.leaf import Loss, Read, View, needs_components, pooled, projection_of
from cuvis_ai.node.base import Anchored, Decodes, Node, require
from cuvis_ai.stats import ClassCounts, Sketch
from cuvis_ai.training.selector_regularizers import SelectorDiversityRegularizer, SelectorEntropyRegularizer
from cuvis_ai.training.weighted_multi_loss import WeightedMultiLoss

__all__ = [
    "AnomalyBCEWithLogits",
    "BalancedBCEWithLogits",
    "MSEReconstructionLoss",
    "OrthogonalityLoss",
    "SelectorDiversityRegularizer",
    "SelectorEntropyRegularizer",
    "WeightedMultiLoss",
]


class OrthogonalityLoss(Loss):
    """Penalizes components that are not orthonormal: ‖W Wᵀ − I‖²_F, rows of W being components.

    Reads weights alone. Below rounding level it is 0 with zero gradient, so that a statistical start,
    which is orthonormal already, stays where it is.

    Args:
        weight: factor in the total loss; 0 or more.

    Example:
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> pca = TrainablePCA(2)
        >>> pca.set_state(components=torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))  # collapsed
        >>> OrthogonalityLoss()(View(pca, {})).item()
        2.0
    """

    log_name = "orthogonality"

    check_parent = needs_components

    @override
    def forward(self, view: View) -> Float[Tensor, ""]:
        return orthogonality_penalty(projection_of(view.parent, self).components)


class MSEReconstructionLoss(Loss):
    """Mean squared error of a decoder's output, over channels and valid pixels: ‖X − X̂‖² / (n c).

    The target is the cube that entered the encoder, so a normalizer before it does not matter.

    Args:
        weight: factor in the total loss; 0 or more.
        use_labels_as_target: whether the target is `batch["labels"]`, a cube of the output's shape.

    Example:
        >>> from cuvis_ai.node.decoder import PCADecoder
        >>> cubes = {
        ...     Read.ENCODER_INPUT: torch.tensor([1.0, 4.0]).view(1, 2, 1, 1),
        ...     Read.OUTPUT: torch.ones(1, 2, 1, 1),
        ... }
        >>> MSEReconstructionLoss()(View(PCADecoder(tied_to="pca"), cubes)).item()
        4.5
    """

    log_name = "reconstruction"

    def __init__(self, weight: float = 1.0, *, use_labels_as_target: bool = False) -> None:
        super().__init__(weight)
        self.use_labels_as_target = use_labels_as_target

    @override
    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT, Read.LABELS if self.use_labels_as_target else Read.ENCODER_INPUT})

    @override
    def check_parent(self, parent: Node, channels: int | None) -> None:
        if not isinstance(parent, Decodes) and not self.use_labels_as_target:
            raise GraphError(
                f"{self.label}: expected a decoder as parent, such as PCADecoder or LinearDecoder, got "
                f"{parent.label}. For another target pass use_labels_as_target=True."
            )

    @override
    def forward(self, view: View) -> Float[Tensor, ""]:
        output = view[Read.OUTPUT]
        target = view[Read.LABELS if self.use_labels_as_target else Read.ENCODER_INPUT]
        if target.shape != output.shape:
            raise GraphError(
                f"{self.label}: expected a target of shape {tuple(output.shape)}, got {tuple(target.shape)}."
            )
        return pooled(squared_error(output, target.to(output.dtype)), view.valid)


class AnomalyBCEWithLogits(Loss):
    """Binary cross-entropy between a logit and `batch["mask"]`, averaged over valid pixels.

    Args:
        weight: factor in the total loss; 0 or more.
        pos_weight: factor of anomalous pixels; "balanced" takes normal over anomalous pixels of the
            training masks; None is 1.

    State:
        positive_weight (): the factor in use; set by the statistical phase if "balanced".

    Example:
        >>> from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
        >>> seen = {Read.OUTPUT: torch.zeros(1, 1, 2, 2), Read.MASK: torch.eye(2, dtype=torch.bool)[None]}
        >>> round(AnomalyBCEWithLogits()(View(RXLogitHead(), seen)).item(), 4)  # ln 2
        0.6931
    """

    log_name = "bce"
    positive_weight: Tensor

    def __init__(self, weight: float = 1.0, *, pos_weight: float | Literal["balanced"] | None = None) -> None:
        super().__init__(weight)
        is_number = isinstance(pos_weight, int | float) and pos_weight > 0
        require(
            pos_weight in (None, "balanced") or is_number,
            "AnomalyBCEWithLogits: pos_weight", "a number above 0, 'balanced' or None", pos_weight,
        )  # fmt: skip
        self.pos_weight = pos_weight
        self.register_buffer("positive_weight", torch.empty(()))
        self.reset()

    @override
    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT, Read.MASK})

    @override
    def check_parent(self, parent: Node, channels: int | None) -> None:
        if not parent.emits_logits:
            raise GraphError(
                f"{self.label}: expected a parent that emits logits, such as RXLogitHead, got {parent.label}."
            )

    @property
    def sketch(self) -> type[Sketch] | None:
        """Class counts, if "balanced" and not counted yet."""
        return ClassCounts if bool(self.positive_weight.isnan()) else None

    @override
    def reset(self) -> None:
        if self.pos_weight == "balanced":
            given = float("nan")
        else:
            given = 1.0 if self.pos_weight is None else float(self.pos_weight)
        self.positive_weight = torch.full_like(self.positive_weight, given)

    @override
    def finalize(self, sketch: ClassCounts) -> None:
        if sketch.positive == 0:
            raise GraphError(
                f"{self.label}: pos_weight='balanced': expected anomalous pixels in the training masks, got "
                f"none in {sketch.count} valid pixels. Pass a number, or another split."
            )
        ratio = (sketch.count - sketch.positive) / sketch.positive
        self.positive_weight = torch.tensor(ratio, dtype=torch.float64).to(self.positive_weight)

    @override
    def forward(self, view: View) -> Float[Tensor, ""]:
        factor = None if self.pos_weight is None else self.positive_weight
        return pooled(logistic_loss(view[Read.OUTPUT], view[Read.MASK], factor), view.valid)


class BalancedBCEWithLogits(Loss):
    """Class-balanced cross-entropy between a logit and `batch["mask"]`, held near the fitted start.

    Half the mean over anomalous pixels plus half the mean over normal ones, by the classes' counts in the
    training masks, plus λ / (2 · 2 n₁) ‖Δ‖² with n₁ anomalous pixels and Δ the parent's distance from the
    coefficients that fitting found, in logits per standard deviation of each feature. Training with this
    loss ends with the state that validates better, trained or fitted: see `training.engine.verdict`.

    Args:
        weight: factor in the total loss; 0 or more.
        anchor: λ; 0 or more. Without it few labels diverge. Above 0 the parent is a `BranchLogitHead`.

    State:
        positive, negative (): n₁ and n₀, set by the statistical phase.

    Example:
        >>> from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
        >>> loss = BalancedBCEWithLogits(anchor=0.0)
        >>> loss.finalize(ClassCounts(count=4, positive=1, channels=1))
        >>> logits, mask = (
        ...     torch.tensor([[[[0.0, -9.0], [-9.0, -9.0]]]]),
        ...     torch.tensor([[[True, False], [False, False]]]),
        ... )
        >>> round(loss(View(RXLogitHead(), {Read.OUTPUT: logits, Read.MASK: mask})).item(), 3)  # half of ln 2
        0.347
    """

    log_name = "bce"
    is_judged = True
    positive: Tensor
    negative: Tensor

    def __init__(self, weight: float = 1.0, *, anchor: float = 0.1) -> None:
        super().__init__(weight)
        require(anchor >= 0, "BalancedBCEWithLogits: anchor", "0 or more", anchor)
        self.anchor = anchor
        self.register_buffer("positive", torch.tensor(float("nan")))
        self.register_buffer("negative", torch.tensor(float("nan")))

    @override
    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT, Read.MASK})

    @override
    def check_parent(self, parent: Node, channels: int | None) -> None:
        if not parent.emits_logits or (self.anchor > 0 and not isinstance(parent, Anchored)):
            raise GraphError(
                f"{self.label}: expected a parent that emits logits and knows its start, such as "
                f"BranchLogitHead, got {parent.label}. With anchor=0 any parent that emits logits will do."
            )

    @property
    def sketch(self) -> type[Sketch] | None:
        """Class counts, if not counted yet."""
        return ClassCounts if bool(self.positive.isnan()) else None

    @override
    def reset(self) -> None:
        self.positive = torch.full_like(self.positive, float("nan"))
        self.negative = torch.full_like(self.negative, float("nan"))

    @override
    def finalize(self, sketch: ClassCounts) -> None:
        counts = torch.tensor([sketch.positive, sketch.count - sketch.positive])
        if not bool(counts.all()):
            known = "" if sketch.count else ": no batch has a `mask`, or none a valid pixel"
            raise GraphError(
                f"{self.label}: expected anomalous and normal pixels in the training masks, got "
                f"{sketch.positive} anomalous of {sketch.count} valid pixels{known}. Choose another split."
            )
        self.positive, self.negative = counts.to(self.positive)

    @override
    def forward(self, view: View) -> Float[Tensor, ""]:
        per_pixel = class_balanced_loss(view[Read.OUTPUT], view[Read.MASK], self.positive, self.negative)
        loss = pooled(per_pixel, view.valid)
        if self.anchor == 0 or not isinstance(view.parent, Anchored):
            return loss
        return loss + anchor_penalty(view.parent.drift(), self.anchor, self.positive)
