"""Metrics: functions of the sketches of an epoch; each formula lives in `functional`."""

import logging
import math
from collections.abc import Mapping

from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.component_quality import orthogonality_error
from cuvis_ai.functional.detection import (
    aupro,
    auroc,
    average_precision,
    best_f1,
    f1,
    iou,
    precision,
    recall,
)
from cuvis_ai.functional.thresholds import above_mean
from cuvis_ai.leaf import (
    VARIANCE_OBSERVATIONS,
    Metric,
    Observation,
    Read,
    Sketches,
    Truth,
    explained_by,
    needs_components,
    needs_score,
    projection_of,
)
from cuvis_ai.node.base import Node, require
from cuvis_ai.stats import ScoreDistribution

logger = logging.getLogger(__name__)


class ExplainedVarianceMetric(Metric):
    """Shares of the input's total variance that the current components explain.

    Logs `explained_variance_pc1`, `explained_variance_pc2`, … and `explained_variance_total`, by
    the formulas of `functional.component_quality.explained_variance`: of the components as they are now,
    on the data of the epoch, out of the total variance of what enters the parent.

    Example:
        >>> import torch
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> from cuvis_ai.stats import ChannelMoments, Moments, update_all
        >>> pca, moments, channels = TrainablePCA(1), Moments(), ChannelMoments()
        >>> update_all([moments, channels], torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0]]))
        >>> pca.finalize(moments)  # variances 4/3 and 1/3
        >>> seen = {"input": channels, "scores": moments.through(pca.affine())}
        >>> round(ExplainedVarianceMetric().compute(pca, seen)["explained_variance_total"], 3)
        0.8
    """

    check_parent = needs_components

    @override
    def observes(self) -> Mapping[str, Observation]:
        return VARIANCE_OBSERVATIONS

    @override
    def compute(self, parent: Node, sketches: Sketches) -> dict[str, float]:
        if sketches["input"].count == 0:
            return {}
        shares = explained_by(projection_of(parent, self), sketches["input"], sketches["scores"])
        named = {f"explained_variance_pc{i}": float(share) for i, share in enumerate(shares.per_component, 1)}
        return {**named, "explained_variance_total": float(shares.total)}


class ComponentOrthogonalityMetric(Metric):
    """How far the components are from orthonormal: `component_orthogonality_error` = ‖W Wᵀ − I‖_F.

    Example:
        >>> import torch
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> pca = TrainablePCA(2)
        >>> pca.set_state(
        ...     components=torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
        ... )  # the second is too long
        >>> ComponentOrthogonalityMetric().compute(pca, {})
        {'component_orthogonality_error': 3.0}
    """

    check_parent = needs_components

    @override
    def compute(self, parent: Node, sketches: Sketches) -> dict[str, float]:
        components = projection_of(parent, self).components.detach().cpu().double()
        return {"component_orthogonality_error": float(orthogonality_error(components))}


class ScoreStatisticsMetric(Metric):
    """Statistics of all scores of the epoch.

    Logs `score_mean`, `score_std` (denominator n − 1), `score_min`, `score_max` and the quantiles
    `score_q25`, `score_q50`, `score_q75`, `score_q95`, `score_q99`: exact up to 2^22 pixels. Beyond, one is
    interpolated in a bin of the score's last bits, whose rank is right to 1e-3 unless most scores differ in
    few bits, as `ScoreDistribution` says.

    Example:
        >>> import numpy as np
        >>> from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
        >>> from cuvis_ai.pipeline.graph import Graph
        >>> graph = Graph("logits")
        >>> head = graph.add_node(RXLogitHead(init_bias=0.0))
        >>> statistics = graph.add_leaf_node(ScoreStatisticsMetric(), parent=head)
        >>> values = graph.evaluate(np.array([[[1.0], [2.0]], [[3.0], [6.0]]]))
        >>> values["test/metric/score_mean"], values["test/metric/score_q50"]
        (3.0, 2.5)
    """

    check_parent = needs_score

    @override
    def observes(self) -> Mapping[str, Observation]:
        return {"scores": Observation(Read.OUTPUT, ScoreDistribution)}

    @override
    def compute(self, parent: Node, sketches: Sketches) -> dict[str, float]:
        scores: ScoreDistribution = sketches["scores"]
        if scores.count == 0:
            return {}
        values = {"mean": scores.mean, "std": scores.std, "min": scores.low, "max": scores.high}
        values |= {f"q{q}": scores.quantile(q / 100) for q in (25, 50, 75, 95, 99)}
        return {f"score_{name}": value for name, value in values.items() if not math.isnan(value)}


class AnomalyDetectionMetrics(Metric):
    """How well scores tell anomalies from the rest, over all pixels of the epoch.

    Logs, at one threshold, `anomaly_precision`, `anomaly_recall`, `anomaly_f1` and `anomaly_iou`,
    with `anomaly_threshold` itself; and over all thresholds `anomaly_auroc`,
    `anomaly_average_precision`, `anomaly_f1_max` with `anomaly_f1_max_threshold`, and
    `anomaly_aupro` (per-region overlap, to a false-positive rate of 0.3). Where batches say by `window` and
    `name` which tiles make a scene, as this project's data modules do, regions are those of the scene and
    each of its pixels counts once; else regions are those of each cube. A pixel is predicted to be
    an anomaly where its score is above the threshold. Values that are not defined, because there is
    no anomaly or nothing else, are left out. Needs `batch["mask"]`; without masks, or without a finite
    score, nothing is logged, with one warning that says which.

    In the test stage the threshold is the one that the graph stores for the parent, if it does: that of a
    `Threshold` attached to it, or a `TailCalibrator`'s own.

    Args:
        threshold_multiplier: k in the threshold, the epoch's mean + k · standard deviation; None: 2, but for
            a parent that emits logits the probability ½.
        threshold: a probability in (0, 1) instead, in all stages, for a parent that emits logits.

    Example:
        >>> import numpy as np
        >>> from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
        >>> from cuvis_ai.pipeline.graph import Graph
        >>> graph = Graph("logits")
        >>> head = graph.add_node(RXLogitHead(init_bias=0.0))
        >>> metrics = graph.add_leaf_node(AnomalyDetectionMetrics(), parent=head)
        >>> scores, mask = (
        ...     np.array([[[-1.0], [2.0]], [[-3.0], [4.0]]]),
        ...     np.array([[False, False], [False, True]]),
        ... )
        >>> values = graph.evaluate(scores, mask=mask)  # logits above 0 are detected
        >>> values["test/metric/anomaly_precision"], values["test/metric/anomaly_auroc"]
        (0.5, 1.0)
    """

    def __init__(self, threshold_multiplier: float | None = None, *, threshold: float | None = None) -> None:
        require(
            threshold is None or 0 < threshold < 1,
            "AnomalyDetectionMetrics: threshold", "a probability in (0, 1)", threshold,
        )  # fmt: skip
        super().__init__()
        self.threshold_multiplier = threshold_multiplier
        self.threshold = threshold
        self._warned = False

    @override
    def check_parent(self, parent: Node, channels: int | None) -> None:
        needs_score(self, parent, channels)
        if self.threshold is not None and not parent.emits_logits:
            raise GraphError(
                f"{self.label}: threshold={self.threshold} is a probability: expected a parent that emits "
                f"logits, such as RXLogitHead, got {parent.label}. Use threshold_multiplier for scores."
            )

    @override
    def observes(self) -> Mapping[str, Observation]:
        return {"scores": Observation(Read.OUTPUT, ScoreDistribution, Truth.REQUIRED)}

    @override
    def compute(self, parent: Node, sketches: Sketches) -> dict[str, float]:
        return self.compute_test(parent, sketches, None)

    @override
    def compute_test(self, parent: Node, sketches: Sketches, threshold: float | None) -> dict[str, float]:
        scores: ScoreDistribution = sketches["scores"]
        if scores.count == 0:
            if not self._warned:
                reason = "no finite score" if scores.truth_known else 'no batch["mask"]'
                logger.warning("%s: %s, so anomaly metrics are left out", self.label, reason)
            self._warned = True
            return {}
        if threshold is None and self.threshold_multiplier is None and parent.emits_logits:
            threshold = 0.0  # the probability ½
        values = {**self._at_threshold(scores, threshold), **_over_thresholds(scores)}
        return {f"anomaly_{name}": value for name, value in values.items() if value is not None}

    def _at_threshold(self, scores: ScoreDistribution, stored: float | None) -> dict[str, float | None]:
        if self.threshold is not None:
            threshold = math.log(self.threshold / (1 - self.threshold))
        elif stored is not None:
            threshold = stored
        else:
            k = 2.0 if self.threshold_multiplier is None else self.threshold_multiplier
            threshold = above_mean(scores.mean, scores.std, k)
        confusion = scores.confusion(threshold)
        rates = {"precision": precision, "recall": recall, "f1": f1, "iou": iou}
        return {"threshold": threshold, **{name: rate(confusion) for name, rate in rates.items()}}


def _over_thresholds(scores: ScoreDistribution) -> dict[str, float | None]:
    curve = scores.curve()
    best = best_f1(curve)
    return {
        "auroc": auroc(curve),
        "average_precision": average_precision(curve),
        "aupro": aupro(curve),
        "f1_max": None if best is None else best.value,
        "f1_max_threshold": None if best is None else best.threshold,
    }
