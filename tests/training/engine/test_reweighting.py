"""Further passes with weights from a node's present state."""

import pytest
import torch

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.strips import strips
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.training.engine import statistics
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, BoxMean, ReweightedMean, graph_of


def by_hand(cubes: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Three means: of all pixels, then twice with weights."""
    weights = valid.double()
    for _ in range(3):
        level = (cubes * weights[:, None]).sum((0, 2, 3)) / weights.sum()
        near = BoxMean()(torch.where(valid[:, None], cubes - level[:, None, None], 0.0), valid)
        weights = valid / (1 + near.square().sum(1))
    return level


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("pixels", [17, 10**6], ids=["in strips", "whole"])
def test_the_state_is_that_of_weighting_by_hand(
    size: int, pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "strips", lambda batch, context: strips(batch, context, pixels))
    cubes = random_cubes(4, h=9, dtype=torch.float64)
    valid = torch.rand(4, 9, 5) < 0.8
    data = Batches(as_batches(torch.where(valid[:, None], cubes, torch.nan), size))
    graph = graph_of(MinMaxNormalizer(eps=0.0), ReweightedMean()).to(torch.float64)
    graph.train(data, STATISTICS_ONLY)
    assert data.sets["train"].reads == 3 * 4 / size
    expected = by_hand(graph.nodes["n0"](cubes), valid)
    torch.testing.assert_close(graph.nodes["n1"].level, expected, rtol=1e-10, atol=1e-12)


def test_without_a_weighted_pixel_the_node_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of(ReweightedMean())
    monkeypatch.setattr(graph.nodes["n0"], "weights", lambda cube, valid: torch.zeros_like(cube[:, 0]))
    with pytest.raises(GraphError, match="`n0`: expected a pixel with a weight above 0"):
        graph.train(Batches(as_batches(random_cubes(4))), STATISTICS_ONLY)
    assert not graph.nodes["n0"].fitted
