"""Decoders give back what entered the encoder."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cuvis_ai.errors import ConfigError, GraphError, NotFittedError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.decoder import LinearDecoder, PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.losses import MSEReconstructionLoss
from tests.cases import DECODERS, DecoderCase
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, autoencoder, data, settings


@pytest.mark.parametrize("case", DECODERS, ids=str)
def test_decoder_is_fitted_saved_and_read_back(case: DecoderCase, tmp_path: Path) -> None:
    graph = Graph()
    graph.add_node(MinMaxNormalizer(), name="norm")
    graph.add_node(TrainablePCA(3, trainable=True), parent="norm", name="pca")
    decoder = graph.add_node(case.make(), parent="pca")
    cube = random_cubes(seed=2)
    with pytest.raises(NotFittedError):
        graph(cube)
    datamodule = Batches(as_batches(random_cubes(8)))
    graph.train(datamodule, STATISTICS_ONLY)
    assert datamodule.sets["train"].reads == 4
    output = graph(cube).output
    assert output.shape == cube.shape
    torch.testing.assert_close(
        output, decoder(graph.nodes["pca"](graph.nodes["norm"](cube))), rtol=1e-4, atol=1e-5
    )
    graph.save_to_file(tmp_path / "graph.zip")
    assert torch.equal(Graph.load_from_file(tmp_path / "graph.zip")(cube).output, output)
    assert not any("pca" in name for name, _ in decoder.named_modules())


def test_decoders_start_at_the_least_squares_solution() -> None:
    """For a PCA both decoders give the projection onto its components."""
    outputs = []
    for case in DECODERS:
        graph = Graph()
        graph.add_node(TrainablePCA(3, whiten=True), name="pca")
        graph.add_node(case.make(), parent="pca")
        graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
        outputs.append(graph(random_cubes(8)).output)
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-3, atol=1e-3)
    pixels = pixels_of(random_cubes(8)).double().numpy()
    centred = pixels - pixels.mean(0)
    _, _, rows = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ rows[:3].T @ rows[:3] + pixels.mean(0)
    np.testing.assert_allclose(pixels_of(outputs[0]), expected, atol=1e-3)


@pytest.mark.parametrize("decoder", ["tied", "linear"])
def test_reconstruction_trains_back_to_the_optimum(decoder: str) -> None:
    """The principal components are the best linear code: training comes back to them when pushed off."""
    graph = autoencoder(decoder)
    graph.add_leaf_node(MSEReconstructionLoss(), parent="decoder")
    best = float(graph.train(data(), settings()).callback_metrics["val/loss/total"])
    pca = graph.nodes["pca"]
    assert isinstance(pca, TrainablePCA)
    pca.set_state(components=pca.components + 0.2 * torch.randn(3, 7))
    pushed = float(graph.train(data(), settings()).callback_metrics["val/loss/total"])
    trained = float(graph.train(data(), settings(60)).callback_metrics["val/loss/total"])
    assert pushed > 1.2 * best
    assert trained < best + 0.2 * (pushed - best)


def test_a_tied_decoder_is_the_transpose_of_its_encoder() -> None:
    """x̂ = mean + Wᵀ (z / scale)."""
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3, whiten=True), name="pca")
    graph.add_node(PCADecoder(tied_to=pca), parent=pca)
    graph.train(Batches(as_batches(random_cubes(8))), STATISTICS_ONLY)
    pca.set_state(components=torch.randn(3, 7))
    cube = random_cubes(seed=1)
    expected = pca.mean + pixels_of(pca(cube)) / pca.scale @ pca.components
    torch.testing.assert_close(pixels_of(graph(cube).output), expected, rtol=1e-3, atol=1e-3)


def test_encoders_that_cannot_be_decoded_are_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="PCADecoder: tied_to: expected a node that is in a graph"):
        PCADecoder(tied_to=TrainablePCA(3))
    graph = Graph()
    graph.add_node(MinMaxNormalizer(use_running_stats=False), name="norm")
    with pytest.raises(GraphError, match="expected a node with components.*MinMaxNormalizer `norm`"):
        graph.add_node(PCADecoder(tied_to="norm"), parent="norm")
    with pytest.raises(GraphError, match="expected a node with an affine form.*MinMaxNormalizer `norm`"):
        graph.add_node(LinearDecoder(encoder="norm"), parent="norm")
    assert list(graph.nodes) == list(graph.topology.parents) == ["norm"]
