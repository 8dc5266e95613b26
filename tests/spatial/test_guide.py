import numpy as np
import pytest
import torch

from cuvis_ai.errors import ConfigError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.spatial.guide import Guide
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY


def guide_after_pca(k: int, cubes: torch.Tensor, n: int = 3) -> tuple[Graph, Batches]:
    graph = Graph()
    pca = graph.add_node(TrainablePCA(k))
    graph.add_node(Guide(n), parent=pca)
    data = Batches(as_batches(cubes))
    graph.train(data, STATISTICS_ONLY)
    return graph, data


@pytest.mark.parametrize("k", [1, 2, 5])
def test_leading_scores_in_units_of_the_first_fitted_in_the_pass_of_the_pca(k: int) -> None:
    cubes = random_cubes(8)
    graph, data = guide_after_pca(k, cubes)
    assert data.sets["train"].reads == 4
    scores = pixels_of(graph.nodes["trainable_pca"](cubes))
    expected = scores[:, :3] / np.std(scores[:, 0].numpy(), ddof=1)
    torch.testing.assert_close(pixels_of(graph(cubes).output), expected, rtol=1e-4, atol=1e-5)


def test_a_scene_without_contrast_has_a_guide_of_zero() -> None:
    cubes = torch.full((4, 7, 6, 5), 3.0)
    graph, _ = guide_after_pca(2, cubes)
    assert bool((graph(cubes).output == 0).all())


@pytest.mark.parametrize("n", [0, True])
def test_impossible_arguments(n: int) -> None:
    with pytest.raises(ConfigError, match="Guide: `?n`?: expected"):
        Guide(n)
