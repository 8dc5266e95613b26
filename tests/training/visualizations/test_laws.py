"""What holds for every picture, however the epoch was batched."""

import numpy as np
import pytest
import torch

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.leaf.bases import Visualization
from cuvis_ai.node.base.arguments import hyperparameters
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.saving.class_path import class_path, resolve
from cuvis_ai.training import visualizations
from cuvis_ai.training.visualizations import (
    AnomalyHeatmap,
    ComponentPlot,
    PCAVisualization,
    PrecisionRecallPlot,
    ScoreHistogram,
    SpectraPlot,
)
from tests.recorded_run import WAVELENGTHS, batches, drawn

LEAVES = [getattr(visualizations, name) for name in visualizations.__all__]


@pytest.fixture(scope="module")
def drawn_of_three(graph):
    return drawn(graph, batches(3))


def test_without_a_mask_the_first_cube_is_shown_and_no_class_is_named(graph):
    seen = [{k: v for k, v in batch.items() if k not in ("mask", "wavelengths")} for batch in batches()]
    got = drawn(graph, seen)
    assert str(got["heatmap"]["name"]) == "cube_0_0"
    assert "mask" not in got["heatmap"]
    assert {"precision_recall", "roc"}.isdisjoint(got)
    assert got["histogram"]["anomalous"].sum() == 0
    assert "wavelengths" not in got["spectra"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_batches_do_not_matter(graph, drawn_of_three, size, order):
    whole = [
        {k: v[i : i + 1] if k != "wavelengths" else v for k, v in b.items()}
        for b in batches(3)
        for i in (0, 1)
    ]
    whole = [whole[2 * i + j] for i in order for j in (0, 1)]
    groups = [whole[i : i + size] for i in range(0, len(whole), size)]
    joined = [
        {
            "cube": torch.cat([b["cube"] for b in g]),
            "mask": torch.cat([b["mask"] for b in g]),
            "name": [b["name"][0] for b in g],
            "wavelengths": WAVELENGTHS,
        }
        for g in groups
    ]
    got, expected = drawn(graph, joined), drawn_of_three
    for picture, key in (
        ("histogram", "normal"),
        ("histogram", "threshold"),
        ("precision_recall", "precision"),
        ("roc", "detected"),
        ("spectra", "normal_mean"),
        ("spectra", "anomalous_std"),
        ("heatmap", "values"),
    ):
        np.testing.assert_allclose(got[picture][key], expected[picture][key], rtol=1e-5, atol=1e-6)


def test_an_epoch_without_valid_pixels_draws_nothing_that_needs_them(graph):
    seen = batches(1)
    seen[0]["valid"] = torch.zeros(2, 12, 9, dtype=torch.bool)
    assert {"histogram", "precision_recall", "roc", "spectra", "heatmap"}.isdisjoint(drawn(graph, seen))


@pytest.mark.parametrize("cls", LEAVES)
def test_leaf_is_named_by_its_import_path_and_rebuilt_from_its_arguments(cls):
    assert resolve(f"cuvis_ai.training.visualizations.{cls.__name__}", (Visualization,)) is cls
    assert resolve(class_path(cls), (Visualization,)) is cls
    leaf = cls(log_frequency=4)
    assert hyperparameters(cls(**hyperparameters(leaf))) == hyperparameters(leaf)
    assert leaf.log_frequency == 4


def test_graph_with_pictures_is_saved_and_loaded(graph, tmp_path):
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip")
    assert repr(loaded) == repr(graph)
    drawn(graph, batches())
    assert graph.leaves.state_dict() == {}, "what was collected is no state"


def test_the_tutorial_s_arguments_are_taken():
    PCAVisualization(n_dims=2, subsample=1000, show_variance=True)
    AnomalyHeatmap(colormap="hot", vmin=0.0, vmax=1.0, threshold_multiplier=3.0)
    ScoreHistogram(bins=50, compute_threshold=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PCAVisualization(n_dims=4), "n_dims: expected 2 or 3, got 4"),
        (lambda: PCAVisualization(subsample=0), "subsample: expected 1 or more"),
        (lambda: ScoreHistogram(bins=0), "bins: expected 1 or more"),
        (lambda: AnomalyHeatmap(vmin=2.0, vmax=1.0), "vmin: expected below vmax=1.0"),
        (lambda: SpectraPlot(log_frequency=0), "log_frequency: expected 1 or more"),
    ],
)
def test_impossible_arguments_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize("cls", [AnomalyHeatmap, ScoreHistogram, PrecisionRecallPlot])
def test_score_pictures_refuse_a_parent_with_several_channels(cls):
    graph = Graph()
    pca = graph.add_node(TrainablePCA(3))
    with pytest.raises(GraphError, match=r"one output channel.*got TrainablePCA `trainable_pca` with 3"):
        graph.add_leaf_node(cls(), parent=pca)


@pytest.mark.parametrize("leaf", [PCAVisualization(), ComponentPlot()])
def test_component_pictures_refuse_a_parent_without_components(graph, leaf):
    with pytest.raises(GraphError, match="expected a parent with components"):
        graph.add_leaf_node(leaf, parent="rx_global")
