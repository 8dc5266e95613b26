"""RobustRX against its definition in NumPy, step by step."""

import math

import numpy as np
import pytest
import torch

from cuvis_ai.anomaly.robust_rx import RobustRX
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from tests.cubes import Batches, random_cubes
from tests.functional.test_filters import gaussian_by_loops
from tests.functional.test_morphology import LINES, opened_slowly
from tests.graphs import STATISTICS_ONLY, graph_of


def scene(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """One cube with two outlying pixels."""
    cube = random_cubes(1, c=4, h=14, w=12, dtype=dtype)
    cube[0, :, 5, 5] += 30
    cube[0, :, 10, 3] -= 20
    return cube


def distances(cube: torch.Tensor, mean: np.ndarray, covariance: np.ndarray, ridge: float) -> np.ndarray:
    centred = cube[0].permute(1, 2, 0).numpy() - mean
    inverse = np.linalg.inv(covariance + ridge * np.eye(len(mean)))
    return np.einsum("hwi,ij,hwj->hw", centred, inverse, centred)


def by_hand(
    cube: torch.Tensor, valid: np.ndarray, passes: int, extent: int = 5, shrinkage: float = 1e-2
) -> tuple[np.ndarray, np.ndarray, float]:
    pixels = cube[0].permute(1, 2, 0).numpy()[valid]
    mean, covariance = pixels.mean(0), np.cov(pixels, rowvar=False)
    ridge = shrinkage * np.trace(covariance) / len(mean)
    for _ in range(passes):
        scores = torch.from_numpy(distances(cube, mean, covariance, ridge))[None, None]
        smooth = gaussian_by_loops(scores, torch.from_numpy(valid)[None], 0.5)[0, 0].numpy()
        logarithm = np.log(np.maximum(smooth, 1e-6))
        square = opened_slowly(logarithm, valid, 2 * round(0.35 * extent) + 1, ((0, 1), (1, 0)))
        lines = np.max([opened_slowly(logarithm, valid, extent, (step,)) for step in LINES], axis=0)
        weights = np.exp(np.minimum(0, (square + lines) / 2 - logarithm))[valid]
        mean = np.average(pixels, axis=0, weights=weights)
        covariance = np.cov(pixels, rowvar=False, aweights=weights, ddof=0)
    return mean, covariance, ridge


@pytest.mark.parametrize("reweight", [0, 1, 2])
@pytest.mark.parametrize("share", [1.0, 0.85])
def test_state_and_scores_are_those_of_the_definition(reweight: int, share: float) -> None:
    cube, valid = scene(), torch.rand(1, 14, 12) < share
    graph = graph_of(RobustRX(1e-2, reweight=reweight, extent=5)).to(torch.float64)
    data = Batches([{"cube": cube, "valid": valid}])
    graph.train(data, STATISTICS_ONLY)
    assert data.sets["train"].reads == 1 + reweight
    mean, covariance, ridge = by_hand(cube, valid[0].numpy(), reweight)
    node = graph.nodes["n0"]
    np.testing.assert_allclose(node.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(node.cov, covariance, rtol=1e-8)
    np.testing.assert_allclose(node.ridge, ridge)
    expected = distances(cube, mean, covariance, ridge)
    np.testing.assert_allclose(graph(cube).output[0, 0], expected, rtol=1e-8)


def test_outliers_no_longer_widen_the_covariance() -> None:
    cube = scene(torch.float32)
    plain, robust = (graph_of(RobustRX(reweight=n, extent=5)) for n in (0, 1))
    for graph in (plain, robust):
        graph.train(Batches([{"cube": cube}]), STATISTICS_ONLY)
    before, after = plain(cube).output[0, 0], robust(cube).output[0, 0]
    for y, x in ((5, 5), (10, 3)):
        assert after[y, x] / after.median() > 1.5 * before[y, x] / before.median()


@pytest.mark.parametrize(("channels", "n"), [(1, 30), (2, 30), (7, 5)])
def test_few_bands_and_few_pixels(channels: int, n: int) -> None:
    graph = Graph()
    pca = graph.add_node(TrainablePCA(32, at_most=True))
    graph.add_node(RobustRX(), parent=pca)
    cube = random_cubes(1, c=channels, h=1, w=n)
    graph.train(Batches([{"cube": cube}]), STATISTICS_ONLY)
    assert pca.components.shape == (min(channels, n - 1), channels)
    assert bool(graph(cube).output.isfinite().all())


def test_a_scene_without_contrast_has_scores_of_zero() -> None:
    graph = graph_of(TrainablePCA(32, at_most=True), RobustRX())
    cube = torch.full((1, 7, 20, 20), 3.0)
    graph.train(Batches([{"cube": cube}]), STATISTICS_ONLY)
    assert bool((graph(cube).output == 0).all())


def test_a_variance_beyond_the_dtype_is_refused_and_held_by_float64() -> None:
    cube = random_cubes(1, c=4, h=20, w=20).double() * 1e25
    with pytest.raises(GraphError, match=r"RobustRX `n0`: expected a mean variance that torch.float32 holds"):
        graph_of(RobustRX()).train(Batches([{"cube": cube.float()}]), STATISTICS_ONLY)
    graph, small = (graph_of(RobustRX()).to(torch.float64) for _ in range(2))
    graph.train(Batches([{"cube": cube}]), STATISTICS_ONLY)
    small.train(Batches([{"cube": cube / 1e25}]), STATISTICS_ONLY)
    torch.testing.assert_close(graph(cube).output, small(cube / 1e25).output)


def test_scores_look_at_single_pixels_and_fitting_at_neighbours() -> None:
    node = RobustRX(extent=13)
    assert (node.halo, node.fit_halo) == (0, 14)
    assert RobustRX(reweight=0, extent=None).fit_halo == 0


def test_weights_are_constants_for_gradients() -> None:
    graph = graph_of(RobustRX(extent=5))
    cube = scene(torch.float32)
    graph.train(Batches([{"cube": cube}]), STATISTICS_ONLY)
    weights = graph.nodes["n0"].weights(cube.requires_grad_(), torch.ones(1, 14, 12, dtype=torch.bool))
    assert not weights.requires_grad
    assert bool(((weights > 0) & (weights <= 1)).all())
    assert float(weights[0, 5, 5]) == weights.min()


def test_gradients_reach_components_upstream_and_trained_statistics() -> None:
    graph = graph_of(TrainablePCA(3, trainable=True), RobustRX(extent=5, trainable_stats=True))
    cube = scene(torch.float32)
    graph.train(Batches([{"cube": cube}]), STATISTICS_ONLY)
    for node in graph.nodes.values():
        node.prepare_for_train()
    graph(cube).output.log().sum().backward()
    for name, parameter in graph.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
    assert {name for name, _ in graph.named_parameters()} == {
        "nodes.n0.components",
        "nodes.n1.mean",
        "nodes.n1.whitening",
    }


def test_mean_score_over_its_own_pixels_without_weights() -> None:
    cube = scene()
    graph = graph_of(RobustRX(0.0, reweight=0, extent=None)).to(torch.float64)
    graph.train(Batches([{"cube": cube}]), STATISTICS_ONLY)
    n = len(pixels_of(cube))
    assert float(graph(cube).output.mean()) == pytest.approx(4 * (n - 1) / n)
    assert math.isclose(float(graph.nodes["n0"].ridge), 0.0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"shrinkage": -1.0},
        {"reweight": -1},
        {"extent": 4},
        {"extent": None},
        {"sigma": 0.0},
        {"reweight": True},
    ],
)
def test_impossible_arguments(arguments: dict[str, float | None]) -> None:
    with pytest.raises(ConfigError, match="RobustRX: "):
        RobustRX(**arguments)  # type: ignore[arg-type]
