"""A threshold on scores, as an object of its own that is saved with the graph."""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor
from typing_extensions import override

from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.errors import GraphError, NotFittedError
from cuvis_ai.functional.detection import best_f1
from cuvis_ai.functional.thresholds import above_mean
from cuvis_ai.leaf.bases import Leaf, Metric, require_score
from cuvis_ai.leaf.reading import Observation, Read, Sketches, Truth
from cuvis_ai.node.base import Node
from cuvis_ai.node.base.arguments import require
from cuvis_ai.stats import ScoreDistribution
from cuvis_ai.types import CubeTensor

Rule = Literal["mean_std", "quantile", "best_f1", "value"]


class Threshold(Metric):
    """Turns scores into a mask: an anomaly is where the score is above `value`.

    The value is set at the end of each validation epoch of `graph.train`, by a rule on all its scores,
    and logged as `threshold`. "mean_std" and "quantile" need no masks, so they work on normal data
    alone; "best_f1" needs `batch["mask"]`; "value" is a fixed number. It is saved with the graph,
    and `threshold.value = 3.2` changes it at any time; `graph.evaluate` leaves it as it is.

    Args:
        rule: mean_std, quantile, best_f1 or value.
        parameter: k in mean + k · standard deviation (default 2), the quantile (default 0.99), or the
            number; best_f1 takes none.

    State:
        stored (1,): the value; NaN before it is known.

    Example:
        >>> threshold = Threshold("value", 3.0)
        >>> threshold(torch.tensor([[[[2.0, 4.0]]]])).tolist()
        [[[[False, True]]]]
    """

    stages = frozenset({"val"})
    stored: Tensor

    def __init__(self, rule: Rule = "mean_std", parameter: float | None = None) -> None:
        known = ("mean_std", "quantile", "best_f1", "value")
        require(rule in known, "Threshold: rule", f"one of {', '.join(known)}", rule)
        needed = {"mean_std": 2.0, "quantile": 0.99}.get(rule)
        parameter = needed if parameter is None else parameter
        require(
            (parameter is None) == (rule == "best_f1"),
            "Threshold: parameter", "None" if rule == "best_f1" else "a number", parameter,
        )  # fmt: skip
        require(
            rule != "quantile" or (parameter is not None and 0 <= parameter <= 1),
            "Threshold: parameter", "a quantile in [0, 1]", parameter,
        )  # fmt: skip
        super().__init__()
        self.rule: Rule = rule
        self.parameter = parameter
        fixed = parameter if rule == "value" and parameter is not None else float("nan")
        self.register_buffer("stored", torch.tensor([fixed]))

    @property
    def value(self) -> float:
        """The threshold in use."""
        if bool(self.stored.isnan()):
            raise NotFittedError(
                f"{self.label} has no value yet. Run `graph.train` with a validation set, or set `value`."
            )
        return float(self.stored)

    @value.setter
    def value(self, value: float) -> None:
        self.stored = torch.full_like(self.stored, float(value))

    @override
    def check_parent(self, parent: Node, channels: int | None) -> None:
        require_score(parent, channels, self)

    @override
    def observes(self) -> Mapping[str, Observation]:
        if self.rule == "value":
            return {}
        truth = Truth.REQUIRED if self.rule == "best_f1" else Truth.UNUSED
        return {"scores": Observation(Read.OUTPUT, ScoreDistribution, truth)}

    @override
    def fit(self, sketches: Sketches) -> None:
        if self.rule != "value":
            self.value = self._by_rule(sketches["scores"])

    @override
    def compute(self, parent: Node, sketches: Sketches) -> dict[str, float]:
        return {} if bool(self.stored.isnan()) else {"threshold": self.value}

    def _by_rule(self, scores: ScoreDistribution) -> float:
        if scores.count == 0:
            raise GraphError(
                f"{self.label}: rule {self.rule!r}: expected validation scores"
                f"{' with masks' if self.rule == 'best_f1' else ''}, got none. Add them, or use another rule."
            )
        if self.rule == "best_f1":
            best = best_f1(scores.curve())
            if best is None:
                raise GraphError(f"{self.label}: best_f1: expected anomalous pixels in the masks, got none.")
            return best.threshold
        assert self.parameter is not None
        if self.rule == "quantile":
            return scores.quantile(self.parameter)
        return above_mean(scores.mean, scores.std, self.parameter)

    def forward(self, scores: CubeTensor) -> Bool[Tensor, "b 1 h w"]:
        """Return the mask of a batch of scores; False where a score is NaN."""
        return scores > self.value


def stored_threshold(node: Node, leaves: Iterable[Leaf]) -> float | None:
    """Return the threshold that a graph stores for a node's scores; None if it stores none.

    Args:
        node: the node; a `TailCalibrator` stores one itself.
        leaves: what is attached to it; the first `Threshold` that has a value counts before the node's own.
    """
    for leaf in leaves:
        if isinstance(leaf, Threshold) and not bool(leaf.stored.isnan()):
            return leaf.value
    return float(node.threshold) if isinstance(node, TailCalibrator) else None
