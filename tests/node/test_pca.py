"""TrainablePCA against scikit-learn's full SVD."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import Moments
from cuvis_ai.training.metrics import ExplainedVarianceMetric
from tests.cubes import Batches, random_cubes
from tests.graphs import STATISTICS_ONLY


def fitted(cube: torch.Tensor, k: int = 3, **kwargs: bool | float) -> TrainablePCA:
    node = TrainablePCA(k, **kwargs).to(cube.dtype)  # type: ignore[arg-type]
    moments = Moments()
    moments.update(pixels_of(cube))
    node.finalize(moments)
    return node


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_agrees_with_scikit_learns_svd(offset: float) -> None:
    cube = random_cubes(8, dtype=torch.float64) + offset
    node = fitted(cube)
    reference = PCA(3, svd_solver="full").fit(pixels_of(cube).numpy())
    signs = np.sign(reference.components_[np.arange(3), np.abs(reference.components_).argmax(1)])[:, None]
    np.testing.assert_allclose(node.components, reference.components_ * signs, atol=1e-6)
    np.testing.assert_allclose(node.mean, reference.mean_, rtol=1e-12)
    np.testing.assert_allclose(node.explained_variance, reference.explained_variance_, rtol=1e-6)
    np.testing.assert_allclose(node.explained_variance_ratio, reference.explained_variance_ratio_, rtol=1e-6)
    scores = pixels_of(node(cube)).numpy()
    np.testing.assert_allclose(scores, reference.transform(pixels_of(cube).numpy()) * signs.T, atol=1e-6)


def test_real_scene_agrees_with_scikit_learn(repository) -> None:  # type: ignore[no-untyped-def]
    from cuvis_ai.data.indian_pines import IndianPines

    pytest.importorskip("tensorly")
    pixels = pixels_of(IndianPines().scene()["cube"]).double().numpy()
    node = fitted(torch.from_numpy(pixels)[None, None].permute(0, 3, 1, 2), k=10)
    reference = PCA(10, svd_solver="full").fit(pixels)
    cosines = np.abs((node.components.numpy() * reference.components_).sum(1))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    np.testing.assert_allclose(node.explained_variance_ratio, reference.explained_variance_ratio_, rtol=1e-6)


def test_whitened_scores_have_unit_covariance() -> None:
    cube = random_cubes(8, dtype=torch.float64)
    scores = pixels_of(fitted(cube, whiten=True, eps=0.0)(cube))
    np.testing.assert_allclose(np.cov(scores.numpy(), rowvar=False), np.eye(3), atol=1e-8)


def test_shares_sum_to_one_with_all_components() -> None:
    ratio = fitted(random_cubes(8, dtype=torch.float64), k=7).explained_variance_ratio
    assert float(ratio.sum()) == pytest.approx(1, abs=1e-12)


def test_more_components_than_channels_or_pixels_are_refused() -> None:
    with pytest.raises(GraphError, match=r"n_components=8: expected at most 7"):
        fitted(random_cubes(8), k=8)
    with pytest.raises(GraphError, match=r"n_components=3: expected at most 2.*2 valid training pixels"):
        fitted(random_cubes(2, h=1, w=1), k=3)


@pytest.mark.parametrize(
    "arguments",
    [{"n_components": 0}, {"n_components": True}, {"n_components": 3, "eps": -1.0}],
)
def test_impossible_arguments_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(reversed(arguments))):
        TrainablePCA(**arguments)  # type: ignore[arg-type]


def test_report_names_shares() -> None:
    report = fitted(random_cubes(8)).fit_report()
    assert report[0].startswith("Explained variance: [")
    assert report[0].endswith("% total")


def test_report_of_many_components_names_the_first() -> None:
    node = fitted(random_cubes(8, 14), 13)
    first = ", ".join(f"{share:.1%}" for share in node.explained_variance_ratio[:4].tolist())
    assert node.fit_report()[0].startswith(f"Explained variance: [{first}, … (13 in all)] = ")


@pytest.mark.parametrize(
    ("channels", "n", "asked", "expected"),
    [(7, 30, 3, 3), (7, 30, 32, 7), (7, 5, 32, 4), (1, 30, 32, 1), (7, 2, 32, 1)],
)
def test_at_most_takes_the_smallest_of_wish_channels_and_rank(
    channels: int, n: int, asked: int, expected: int
) -> None:
    graph = Graph()
    pca = graph.add_node(TrainablePCA(asked, at_most=True))
    graph.add_leaf_node(ExplainedVarianceMetric(), parent=pca)
    cube = random_cubes(1, channels, 1, n)
    graph.train(Batches([{"cube": cube}]), STATISTICS_ONLY)
    assert pca.components.shape == (expected, channels)
    assert pca.out_channels(channels) == expected
    assert graph(cube).output.shape[1] == expected


def test_at_most_counts_combinations_of_bands_once_and_one_where_nothing_varies() -> None:
    cube = random_cubes(4, 3)
    doubled = torch.cat([cube, cube + 1, 2 * cube], 1)
    for cubes, expected in ((doubled, 3), (torch.ones_like(doubled), 1)):
        graph = Graph()
        pca = graph.add_node(TrainablePCA(32, at_most=True))
        graph.train(Batches([{"cube": cubes}]), STATISTICS_ONLY)
        assert len(pca.components) == expected
