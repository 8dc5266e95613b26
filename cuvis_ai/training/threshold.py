"""A threshold on scores, as an object of its own that is saved with the graph."""

from collections.abc import Iterable, Mapping
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from typing_extensions import override

from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.errors import ConfigError, GraphError, NotFittedError
from cuvis_ai.functional.detection import at_false_alarm_rate, best_f1
from cuvis_ai.functional.thresholds import above_mean
from cuvis_ai.leaf import Metric, Observation, Read, Sketches, Truth, needs_score
from cuvis_ai.node.base import Node, require
from cuvis_ai.node.base.state import set_state
from cuvis_ai.stats import ScoreDistribution
from cuvis_ai.types import CubeTensor

Rule = Literal["mean_std", "quantile", "f1_max", "false_alarm_rate", "value", "best_f1"]

_DEFAULTS = {"mean_std": 2.0, "quantile": 0.99, "false_alarm_rate": 0.001, "f1_max": None, "value": None}
"""Parameters by rule."""

_NEED_MASKS = ("f1_max", "false_alarm_rate")


class Threshold(Metric):
    """Turns scores into a mask: an anomaly is where the score is above `value`.

    The value is set at the end of each validation epoch of `graph.train`, or by `graph.fit_threshold`, by a
    rule on all scores, and logged as `threshold`: "mean_std", mean + k · standard deviation; "quantile"; with
    `batch["mask"]` "f1_max", where F1 is greatest, and "false_alarm_rate", above which a share of the normal
    pixels is; "value" is a fixed number. It is saved with the graph, and `threshold.value = 3.2` changes it
    at any time; `graph.evaluate` leaves it as it is.

    Args:
        rule: mean_std, quantile, f1_max (best_f1 in older files), false_alarm_rate or value.
        parameter: k (default 2), the quantile (default 0.99), the share (default 0.001), or the number;
            f1_max takes none.

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
        rule = "f1_max" if rule == "best_f1" else rule
        parameter = _DEFAULTS[rule] if parameter is None else parameter
        require(
            (parameter is None) == (rule == "f1_max"),
            "Threshold: parameter", "None" if rule == "f1_max" else "a number", parameter,
        )  # fmt: skip
        require(
            rule != "quantile" or (parameter is not None and 0 <= parameter <= 1),
            "Threshold: parameter", "a quantile in [0, 1]", parameter,
        )  # fmt: skip
        require(
            rule != "false_alarm_rate" or (parameter is not None and 0 < parameter < 1),
            "Threshold: parameter", "a share between 0 and 1", parameter,
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
        try:
            number = float(value)
        except (TypeError, ValueError) as err:
            raise ConfigError(f"{self.label}: value: expected a number, got {value!r}.") from err
        set_state(self, stored=torch.tensor([number], dtype=torch.float64))

    check_parent = needs_score

    @override
    def observes(self) -> Mapping[str, Observation]:
        if self.rule == "value":
            return {}
        truth = Truth.REQUIRED if self.rule in _NEED_MASKS else Truth.UNUSED
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
            masks = " with masks" if self.rule in _NEED_MASKS else ""
            raise GraphError(
                f"{self.label}: rule {self.rule!r}: expected validation scores{masks}, got none. Add them, "
                "or use another rule."
            )
        if self.rule == "f1_max":
            best = best_f1(scores.curve())
            if best is None:
                raise GraphError(f"{self.label}: f1_max: expected anomalous pixels in the masks, got none.")
            return best.threshold
        assert self.parameter is not None
        if self.rule == "false_alarm_rate":
            point = at_false_alarm_rate(scores.curve(), self.parameter)
            if point is None:
                raise GraphError(f"{self.label}: false_alarm_rate: expected normal pixels, got none.")
            return point.threshold
        if self.rule == "quantile":
            return scores.quantile(self.parameter)
        return above_mean(scores.mean, scores.std, self.parameter)

    def forward(self, scores: CubeTensor) -> Bool[Tensor, "b 1 h w"]:
        """Return the mask of a batch of scores; False where a score is NaN."""
        return scores > self.value


def stored_threshold(node: nn.Module, leaves: Iterable[nn.Module]) -> float | None:
    """Return the threshold that a graph stores for a node's scores; None if it stores none.

    Args:
        node: the node; a `TailCalibrator` stores one itself.
        leaves: what is attached to it; the first `Threshold` that has a value counts before the node's own.
    """
    for leaf in leaves:
        if isinstance(leaf, Threshold) and not bool(leaf.stored.isnan()):
            return leaf.value
    return float(node.threshold) if isinstance(node, TailCalibrator) else None
