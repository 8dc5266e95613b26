"""Pictures draw the valid pixels of a whole epoch, however it was batched; and when which is drawn."""

import logging

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.bases import Attached, Picture, Visualization
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.leaf.reading import Read, View
from cuvis_ai.node.base.arguments import hyperparameters
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.saving.class_path import class_path, resolve
from cuvis_ai.training import visualizations
from cuvis_ai.training.engine.epoch import Metrics
from cuvis_ai.training.engine.pictures import Pictures
from cuvis_ai.training.metrics import ExplainedVarianceMetric
from cuvis_ai.training.monitors import Recorder
from cuvis_ai.training.visualizations import (
    AnomalyHeatmap,
    ComponentPlot,
    PCAVisualization,
    PrecisionRecallPlot,
    ScoreHistogram,
    SpectraPlot,
)
from tests.recorded_run import (
    WAVELENGTHS,
    attached_pictures,
    batches,
    execution_of,
    fitted_graph,
    validate,
)

LEAVES = [getattr(visualizations, name) for name in visualizations.__all__]


class Kept:
    """Stands for a recorder, and keeps pictures with their leaf and epoch, without rendering them."""

    active = True

    def __init__(self):
        self.pictures = []

    def figures(self, pictures, stage, *, epoch, global_step):
        self.pictures += [(leaf, epoch, picture) for leaf, picture in pictures]


@pytest.fixture(scope="module")
def graph():
    return fitted_graph()


def drawn(graph, seen):
    """Return the arrays behind each picture of one epoch."""
    kept = Kept()
    validate(Pictures(execution_of(graph), attached_pictures(graph), kept), seen, 0, last=True)
    return {picture.name: picture.data for _, _, picture in kept.pictures}


@pytest.fixture(scope="module")
def drawn_of_three(graph):
    return drawn(graph, batches(3))


def scores_and_truth(graph, seen):
    """Return the scores of all valid pixels, and whether they are anomalies."""
    scores = [graph(batch["cube"], valid=batch.get("valid")).output[:, 0] for batch in seen]
    valid = [torch.isfinite(one) for one in scores]
    kept = [one[v].double().numpy() for one, v in zip(scores, valid, strict=True)]
    truth = [batch["mask"][v].numpy() for batch, v in zip(seen, valid, strict=True)]
    return np.concatenate(kept), np.concatenate(truth)


# What is drawn.


@pytest.mark.parametrize("invalid", [False, True])
def test_histogram_counts_every_valid_pixel_of_the_epoch(graph, invalid):
    seen = batches(invalid=invalid)
    scores, truth = scores_and_truth(graph, seen)
    got = drawn(graph, seen)["histogram"]
    assert got["normal"].sum() == (~truth).sum()
    assert got["anomalous"].sum() == truth.sum()
    np.testing.assert_allclose(got["edges"][[0, -1]], [scores.min(), scores.max()], rtol=1e-5)
    inner = np.r_[-np.inf, got["edges"][1:-1], np.inf]
    # Rounding may carry a score across an edge.
    np.testing.assert_allclose(got["normal"], np.histogram(scores[~truth], inner)[0], atol=1)
    assert got["threshold"] == pytest.approx(scores.mean() + 2 * scores.std(ddof=1), rel=1e-5)


def test_precision_and_recall_are_of_the_whole_epoch(graph):
    seen = batches(3)
    scores, truth = scores_and_truth(graph, seen)
    got = drawn(graph, seen)["precision_recall"]
    expected = average_precision_score(truth, scores)
    assert got["average_precision"] == pytest.approx(expected)
    steps = np.diff(got["recall"], prepend=0.0)
    assert (steps * got["precision"]).sum() == pytest.approx(expected)
    assert got["recall"][-1] == 1.0


@pytest.mark.parametrize("invalid", [False, True])
def test_spectra_are_means_and_deviations_of_each_class(graph, invalid):
    seen = batches(invalid=invalid)
    pixels = np.concatenate([pixels_of(batch["cube"]).double().numpy() for batch in seen])
    truth = np.concatenate([batch["mask"].flatten().numpy() for batch in seen])
    valid = np.ones(len(truth), dtype=bool)
    if invalid:
        valid = np.concatenate([batch["valid"].flatten().numpy() for batch in seen])
    got = drawn(graph, seen)["spectra"]
    for name, chosen in (("normal", ~truth & valid), ("anomalous", truth & valid)):
        np.testing.assert_allclose(got[f"{name}_mean"], pixels[chosen].mean(0), rtol=1e-6)
        np.testing.assert_allclose(got[f"{name}_std"], pixels[chosen].std(0), rtol=1e-6)
    np.testing.assert_array_equal(got["wavelengths"], WAVELENGTHS)


def test_shares_of_the_variance_are_the_metrics(graph):
    seen, execution = batches(), execution_of(graph)
    observer = Observer(execution)
    metrics = Metrics(
        execution, [Attached(ExplainedVarianceMetric(), graph.nodes["trainable_pca"])], observer
    )
    for batch in seen:
        observer.update(execution.evaluate(batch["cube"], observer.points()), batch)
    observer.finish()
    values = metrics.compute("val", fit=False)
    expected = [values[f"val/metric/explained_variance_pc{i}"] for i in (1, 2, 3)]
    np.testing.assert_allclose(drawn(graph, seen)["scatter"]["shares"], expected, rtol=1e-6)


def test_scatter_holds_each_class_s_scores(graph):
    seen = batches()
    scores = graph.run(torch.cat([batch["cube"] for batch in seen]), ["trainable_pca"])["trainable_pca"]
    truth = torch.cat([batch["mask"] for batch in seen]).flatten()
    got = drawn(graph, seen)["scatter"]
    np.testing.assert_allclose(got["normal"], pixels_of(scores)[~truth], atol=1e-5)
    np.testing.assert_allclose(got["anomalous"], pixels_of(scores)[truth], atol=1e-5)


def test_components_are_the_current_ones(graph):
    got = drawn(graph, batches())["components"]
    np.testing.assert_array_equal(got["components"], graph.nodes["trainable_pca"].components.detach())
    np.testing.assert_array_equal(got["wavelengths"], WAVELENGTHS)


def test_heatmap_shows_the_cube_with_the_most_anomalies(graph):
    seen = batches(3, invalid=True)
    got = drawn(graph, seen)["heatmap"]
    assert str(got["name"]) == "cube_2_1"
    cube, valid = seen[2]["cube"][1:], seen[2]["valid"][1:]
    np.testing.assert_allclose(got["values"][..., 0], graph(cube, valid=valid).output[0, 0], atol=1e-5)
    assert np.isnan(got["values"][~valid[0].numpy()]).all()
    assert (got["image"][~valid[0].numpy()] == round(0.82 * 255)).all()
    np.testing.assert_array_equal(got["mask"], (seen[2]["mask"][1] & valid[0]).numpy())


def test_without_a_mask_the_first_cube_is_shown_and_no_class_is_named(graph):
    seen = [{k: v for k, v in batch.items() if k not in ("mask", "wavelengths")} for batch in batches()]
    got = drawn(graph, seen)
    assert str(got["heatmap"]["name"]) == "cube_0_0"
    assert "mask" not in got["heatmap"]
    assert "precision_recall" not in got
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
        ("spectra", "normal_mean"),
        ("spectra", "anomalous_std"),
        ("heatmap", "values"),
    ):
        np.testing.assert_allclose(got[picture][key], expected[picture][key], rtol=1e-5, atol=1e-6)


def test_an_epoch_without_valid_pixels_draws_nothing_that_needs_them(graph):
    seen = batches(1)
    seen[0]["valid"] = torch.zeros(2, 12, 9, dtype=torch.bool)
    assert {"histogram", "precision_recall", "spectra", "heatmap"}.isdisjoint(drawn(graph, seen))


# What leaves are.


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


def test_more_dimensions_than_components_are_refused():
    graph = Graph()
    pca = graph.add_node(TrainablePCA(2))
    with pytest.raises(GraphError, match="at least n_dims=3 components, got 2"):
        graph.add_leaf_node(PCAVisualization(n_dims=3), parent=pca)


# When what is drawn.


class Counter(Visualization):
    """Draws an empty figure and counts."""

    def __init__(self, log_frequency=1, *, fails=False):
        super().__init__(log_frequency)
        self.fails = fails
        self.collected = 0

    def reads(self):
        return frozenset({Read.OUTPUT})

    def reset(self):
        self.collected = 0

    def collect(self, view: View, batch):
        assert view[Read.OUTPUT].shape[1] == 1
        self.collected += 1

    def draw(self, parent, sketches):
        if self.fails:
            raise ValueError("no ink")
        return [Picture("count", Figure(), {"collected": np.asarray(self.collected)})]


def run(leaves, *, epochs, stops_after=None, **settings):
    """Return the epochs in which each leaf drew, and the numbers of batches it had seen."""
    graph, kept = fitted_graph(leaves=False), Kept()
    for leaf in leaves:
        graph.add_leaf_node(leaf, parent="rx_global")
    pictures = Pictures(execution_of(graph), attached_pictures(graph), kept, **settings)
    for epoch in range(epochs if stops_after is None else stops_after):
        validate(pictures, batches(), epoch, last=epoch == epochs - 1)
    pictures.close()
    assert all(int(picture.data["collected"]) == 2 for _, _, picture in kept.pictures)
    return {leaf.name: [epoch for name, epoch, _ in kept.pictures if name == leaf.name] for leaf in leaves}


@pytest.mark.parametrize(
    ("frequency", "epochs", "expected"),
    [(1, 3, [0, 1, 2]), (3, 8, [0, 3, 6, 7]), (100, 4, [0, 3]), (2, 1, [0])],
)
def test_first_every_nth_and_last_epoch_draw(frequency, epochs, expected):
    assert run([Counter(frequency)], epochs=epochs) == {"counter": expected}


def test_each_leaf_has_its_own_frequency():
    assert run([Counter(2), Counter(5)], epochs=6) == {"counter": [0, 2, 4, 5], "counter_2": [0, 5]}


def test_a_run_that_stops_early_draws_its_last_epoch():
    drawn_in = run([Counter(4)], epochs=100, stops_after=7, may_stop_early=True)
    assert drawn_in == {"counter": [0, 4, 6]}


def test_a_last_epoch_is_not_drawn_twice():
    assert run([Counter(2)], epochs=9, stops_after=5, may_stop_early=True) == {"counter": [0, 2, 4]}


def test_budget_keeps_room_for_the_last_epoch():
    assert run([Counter(), Counter()], epochs=10, budget=6) == {
        "counter": [0, 1, 9],
        "counter_2": [0, 1, 9],
    }


def test_a_picture_that_cannot_be_drawn_costs_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert run([Counter(fails=True), Counter()], epochs=1) == {"counter": [], "counter_2": [0]}
    assert "Counter `counter` could not draw: ValueError: no ink" in caplog.text


@pytest.mark.parametrize("ranks", [1, 2])
def test_nothing_is_collected_where_the_recorder_is_not_active(graph, ranks):
    """A further rank only takes its share of the sketches, which all ranks put together."""
    execution = execution_of(graph)
    pictures = Pictures(execution, attached_pictures(graph), Recorder([]), ranks=ranks)
    observer = Observer(execution)
    pictures.start(observer, last=True)
    assert pictures.points() == ()
    assert bool(observer.points()) == (ranks == 2)
    assert pictures.read_data, "all ranks go through the same batches"


def test_pictures_of_weights_alone_read_no_cube():
    graph = fitted_graph(leaves=False)
    graph.add_leaf_node(ComponentPlot(), parent="trainable_pca")
    kept, execution = Kept(), execution_of(graph)
    pictures = Pictures(execution, attached_pictures(graph), kept)
    assert not pictures.read_data
    observer = Observer(execution)
    pictures.start(observer, last=True)
    assert pictures.points() == observer.points() == ()
    pictures.collect(None, {})
    observer.finish()
    pictures.finish(observer, "val", epoch=0, global_step=0)
    assert [picture.name for _, _, picture in kept.pictures] == ["components"]
