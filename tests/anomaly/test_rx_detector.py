"""RXGlobal against its definition, Spectral Python and published values."""

import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import spectral
import torch
from sklearn.metrics import roc_auc_score

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import ConfigError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import Moments
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import OrthogonalityLoss
from tests.cubes import Batches, as_batches, random_cubes

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
# Published, and after PCA to 3, 5, 10: see the README of the shared data.
SCENES = {
    "abu-airport-4": (0.9526, (0.9207, 0.8971, 0.8959)),
    "abu-urban-2": (0.9946, (0.9989, 0.9982, 0.9975)),
    "hydice-urban-175": (0.9857, (0.8855, 0.9348, 0.9919)),
    "muufl-gulfport-v73": (0.9919, (0.9876, 0.9955, 0.9950)),
}


def read_scene(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    path = folder / f"{name}.mat"
    if name.endswith("v73"):
        with h5py.File(path) as file:
            return file["data"][()].transpose(2, 1, 0), file["groundtruth"][()].T > 0
    contents = scipy.io.loadmat(path)
    return contents["data"], contents["map"] > 0


def as_cube(scene: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(scene.astype(np.float32))[None].permute(0, 3, 1, 2)


def chain(cube: torch.Tensor, *nodes: MinMaxNormalizer | TrainablePCA | RXGlobal) -> Graph:
    graph = Graph()
    previous = None
    for node in nodes:
        previous = graph.add_node(node, parent=previous)
    graph.train(Batches([{"cube": part} for part in cube.split(7, 2)]), STATISTICS_ONLY)
    return graph


def fitted(cube: torch.Tensor, **kwargs: float) -> RXGlobal:
    node = RXGlobal(**kwargs).to(cube.dtype)
    moments = Moments()
    moments.update(pixels_of(cube))
    node.finalize(moments)
    return node


@pytest.mark.parametrize("name", SCENES)
def test_auc_of_real_scenes_is_the_published_one(scenes: Path, name: str) -> None:
    scene, truth = read_scene(scenes, name)
    cube = as_cube(scene)
    for nodes in ((RXGlobal(),), (MinMaxNormalizer(), RXGlobal())):
        scores = chain(cube, *nodes)(cube).output.flatten()
        assert roc_auc_score(truth.ravel(), scores) == pytest.approx(SCENES[name][0], abs=1e-3)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize(("k", "i"), [(3, 0), (5, 1), (10, 2)])
def test_auc_behind_a_pca_is_the_reference_value(scenes: Path, name: str, k: int, i: int) -> None:
    scene, truth = read_scene(scenes, name)
    cube = as_cube(scene)
    scores = chain(cube, TrainablePCA(k), RXGlobal())(cube).output.flatten()
    assert roc_auc_score(truth.ravel(), scores) == pytest.approx(SCENES[name][1][i], abs=1e-3)


@pytest.mark.parametrize("name", SCENES)
def test_float32_scores_agree_with_float64(scenes: Path, name: str) -> None:
    scene, _ = read_scene(scenes, name)
    cube = as_cube(scene)
    pixels = scene.reshape(-1, scene.shape[-1]).astype(np.float64)
    covariance = np.cov(pixels, rowvar=False)
    factor = np.linalg.cholesky(np.linalg.inv(covariance)).T
    reference = ((pixels - pixels.mean(0)) @ factor.T) ** 2
    for nodes in ((RXGlobal(),), (MinMaxNormalizer(), RXGlobal())):
        scores = chain(cube, *nodes)(cube).output.flatten().double().numpy()
        error = np.abs(scores - reference.sum(1)) / reference.sum(1)
        assert np.median(error) < 1e-5
        assert error.max() < 1e-4


def test_agrees_with_spectral_python() -> None:
    cube = random_cubes(1, h=20, w=20, dtype=torch.float64)
    expected = spectral.rx(cube[0].permute(1, 2, 0).numpy())
    np.testing.assert_allclose(fitted(cube)(cube)[0, 0], expected, rtol=1e-8)


def test_mean_over_its_own_pixels_and_value_at_the_mean() -> None:
    cube = random_cubes(2, dtype=torch.float64)
    node = fitted(cube)
    n = 2 * 6 * 5
    assert float(node(cube).mean()) == pytest.approx(7 * (n - 1) / n, rel=1e-10)
    assert float(node(node.mu[None, :, None, None])) == pytest.approx(0, abs=1e-12)


def test_unchanged_by_an_invertible_affine_map() -> None:
    cube = random_cubes(4, dtype=torch.float64)
    weight = torch.randn(7, 7, dtype=torch.float64)
    mapped = torch.einsum("kc,bchw->bkhw", weight, cube) + 3.0
    torch.testing.assert_close(fitted(mapped)(mapped), fitted(cube)(cube), rtol=1e-6, atol=1e-8)


def test_fewer_pixels_than_channels_use_the_pseudo_inverse(caplog: pytest.LogCaptureFixture) -> None:
    cube = random_cubes(1, h=1, w=5, dtype=torch.float64)
    with caplog.at_level(logging.WARNING):
        node = fitted(cube)
    assert "rank 4 of 7" in caplog.text
    pixels = pixels_of(cube).numpy()
    centred = pixels - pixels.mean(0)
    expected = np.einsum(
        "ni,ij,nj->n", centred, np.linalg.pinv(np.cov(pixels, rowvar=False), rcond=1e-12), centred
    )
    np.testing.assert_allclose(pixels_of(node(cube)).ravel(), expected, rtol=1e-6)


def test_constant_cube_scores_zero() -> None:
    node = fitted(torch.ones(1, 4, 3, 3))
    assert node.fitted
    assert not node(torch.ones(1, 4, 3, 3)).any()


def test_ridge_is_on_the_diagonal() -> None:
    cube = random_cubes(4, dtype=torch.float64)
    pixels = pixels_of(cube).numpy()
    inverse = np.linalg.inv(np.cov(pixels, rowvar=False) + 0.7 * np.eye(7))
    centred = pixels - pixels.mean(0)
    expected = np.einsum("ni,ij,nj->n", centred, inverse, centred)
    np.testing.assert_allclose(pixels_of(fitted(cube, eps=0.7)(cube)).ravel(), expected, rtol=1e-8)


@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_following_scores_have_the_ridge_on_the_covariance_of_what_enters_now(eps: float) -> None:
    cubes = random_cubes(8, dtype=torch.float64)
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3), name="pca")
    graph.add_node(RXGlobal(eps, stats="follow"), parent=pca, name="rx")
    graph.to(torch.float64).train(Batches([{"cube": cubes}]), STATISTICS_ONLY)
    pca.set_state(components=0.2 * torch.randn(3, 7))
    training = pixels_of(cubes).numpy() @ pca.components.numpy().T
    inverse = np.linalg.inv(np.cov(training, rowvar=False) + eps * np.eye(3))
    cube = random_cubes(seed=1, dtype=torch.float64)
    centred = pixels_of(cube).numpy() @ pca.components.numpy().T - training.mean(0)
    expected = np.einsum("ni,ij,nj->n", centred, inverse, centred)
    np.testing.assert_allclose(pixels_of(graph(cube).output).ravel(), expected, rtol=1e-6)


def test_state_that_followed_a_training_has_the_ridge_too() -> None:
    cubes = random_cubes(8, dtype=torch.float64)
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3, trainable=True), name="pca")
    rx = graph.add_node(RXGlobal(0.3, stats="follow"), parent=pca)
    graph.add_leaf_node(OrthogonalityLoss(), parent=pca)
    one_epoch = TrainingConfig(trainer=TrainerConfig(max_epochs=1, enable_progress_bar=False))
    graph.to(torch.float64).train(Batches([{"cube": cubes}]), one_epoch)
    entering = pixels_of(cubes).numpy() @ pca.components.detach().numpy().T
    expected = np.linalg.inv(np.cov(entering, rowvar=False) + 0.3 * np.eye(3))
    np.testing.assert_allclose(rx.whitening.T @ rx.whitening, expected, atol=1e-12)


def test_trained_parts_are_mean_and_whitening() -> None:
    node = RXGlobal(trainable_stats=True)
    node.finalize(_moments(random_cubes()))
    node.prepare_for_train()
    assert {name for name, _ in node.named_parameters()} == {"mu", "whitening"}


def _moments(cube: torch.Tensor) -> Moments:
    moments = Moments()
    moments.update(pixels_of(cube))
    return moments


def test_negative_eps_is_refused() -> None:
    with pytest.raises(ConfigError, match="eps"):
        RXGlobal(eps=-1e-3)
    with pytest.raises(ConfigError, match="shrinkage: expected 0 or more"):
        RXGlobal(shrinkage=-1e-3)


@pytest.mark.parametrize("stats", ["frozen", "follow"])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_shrinkage_is_a_ridge_of_that_share_of_the_mean_variance(stats: Any, scale: float) -> None:
    cubes = scale * random_cubes(6, dtype=torch.float64)
    graph = Graph().to(torch.float64)
    rx = graph.add_node(RXGlobal(shrinkage=0.1, stats=stats).double())
    graph.train(
        Batches(as_batches(cubes)), TrainingConfig(trainer=TrainerConfig(max_epochs=0, precision="64"))
    )
    pixels = pixels_of(cubes).numpy()
    covariance = np.cov(pixels, rowvar=False)
    ridged = covariance + 0.1 * np.trace(covariance) / 7 * np.eye(7)
    centred = pixels - pixels.mean(0)
    expected = np.einsum("nc,cd,nd->n", centred, np.linalg.inv(ridged), centred)
    np.testing.assert_allclose(pixels_of(graph(cubes).output)[:, 0], expected, rtol=1e-8)
    np.testing.assert_allclose(pixels_of(rx(cubes))[:, 0], expected, rtol=1e-8)
