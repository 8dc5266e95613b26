"""`graph.fit_threshold` sets what the rule says of a split's scores, and what is attached is replaced."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from cuvis_ai.errors import GraphError, NotFittedError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.threshold import Threshold
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, masks, rx_graph

VAL, TEST = random_cubes(4, seed=1), random_cubes(4, seed=2)


def data() -> Batches:
    return Batches(
        as_batches(random_cubes(8)), as_batches(VAL, 3, mask=masks(4)), as_batches(TEST, 3, mask=masks(4))
    )


def trained(*leaves: Any) -> Graph:
    graph = rx_graph(*leaves)
    graph.train(data(), STATISTICS_ONLY)
    return graph


@pytest.mark.parametrize("split", ["val", "test"])
def test_rules_are_met_on_the_splits_pixels(split: Any) -> None:
    graph = trained()
    scores = graph(VAL if split == "val" else TEST).output.flatten().numpy()
    mask = masks(4).flatten().numpy()
    assert graph.fit_threshold(data(), "quantile", 0.9, split=split).value == pytest.approx(
        np.quantile(scores, 0.9), rel=1e-6
    )
    expected = scores.mean() + 3 * scores.std(ddof=1)
    assert graph.fit_threshold(data(), "mean_std", 3.0, split=split).value == pytest.approx(
        expected, rel=1e-5
    )
    value = graph.fit_threshold(data(), "false_alarm_rate", 0.1, split=split).value
    normal = scores[~mask]
    above = (normal > value).sum()
    assert above == int(0.1 * len(normal))
    best = graph.fit_threshold(data(), "f1_max", split=split).value
    every = [f1_score(mask, scores > s) for s in scores]
    assert f1_score(mask, scores > best) == pytest.approx(max(every))
    assert graph.fit_threshold(data(), "value", 3.5, split=split).value == 3.5


def test_the_threshold_is_attached_replaces_the_old_one_and_is_saved(tmp_path: Path) -> None:
    graph = trained(Threshold("value", 1.0))
    fitted = graph.fit_threshold(data(), "false_alarm_rate", 0.2)
    assert [name for name in graph.leaves] == ["threshold"]
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip").leaves["threshold"]
    assert isinstance(loaded, Threshold)
    assert (loaded.rule, loaded.parameter, loaded.value) == ("false_alarm_rate", 0.2, fitted.value)


def test_what_cannot_be_fitted_leaves_the_graph_as_it_is() -> None:
    graph = trained(Threshold("value", 1.0))
    without = Batches(as_batches(random_cubes(8)), as_batches(VAL))
    with pytest.raises(GraphError, match="expected validation scores with masks, got none"):
        graph.fit_threshold(without, "false_alarm_rate")
    with pytest.raises(GraphError, match="expected cubes in the split `test`, got none"):
        graph.fit_threshold(without, split="test")
    (leaf,) = graph.leaves.values()
    assert isinstance(leaf, Threshold)
    assert leaf.value == 1.0
    with pytest.raises(NotFittedError):
        rx_graph().fit_threshold(data())
    assert torch.equal(leaf.stored, torch.ones(1))
