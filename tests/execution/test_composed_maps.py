"""Chains of affine maps become one, from a point that the graph alone decides."""

import pytest
import torch

from cuvis_ai.execution.execution import Execution
from cuvis_ai.functional.affine import Affine
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.stats import Structure
from cuvis_ai.types import CUBE
from tests.cubes import random_cubes
from tests.execution.branched import branched


def test_maps_are_composed_up_to_the_furthest_point_that_affine_maps_lead_from() -> None:
    execution = branched()._members.execution
    assert execution.base(("pca",)) == CUBE
    assert execution.base(("pca", "norm")) == CUBE
    assert execution.base(("pca",), Structure.CHANNELWISE) == ("pca",)
    assert execution.base(("norm",), Structure.CHANNELWISE) == CUBE
    assert execution.base(("smooth_pca",)) == ("smooth",)
    assert execution.base(("rx",)) == ("rx",)
    assert execution.base(("pca", "smooth")) == ("pca", "smooth")


def test_fixed_weights_are_composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = branched()
    cube, points = random_cubes(1), [("rx",), ("smooth_pca",)]
    live = graph._members.execution
    expected = live.evaluate(cube, points).values
    calls: list[str] = []
    affine = MinMaxNormalizer.affine

    def counted(node: MinMaxNormalizer) -> Affine:
        calls.append(node.name)
        return affine(node)

    monkeypatch.setattr(MinMaxNormalizer, "affine", counted)
    fixed = Execution(graph.topology, live.nodes, fixed=True)
    counts = []
    for _ in range(2):
        found = fixed.evaluate(cube, points).values
        assert all(torch.equal(found[point], expected[point]) for point in points)
        counts.append(len(calls))
    assert counts[0] > 0
    assert counts[1] == counts[0]
