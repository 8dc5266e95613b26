"""When which picture is drawn, and on which ranks."""

import logging

import numpy as np
import pytest
from matplotlib.figure import Figure

from cuvis_ai.leaf.bases import Picture, Visualization
from cuvis_ai.leaf.observer import Observer
from cuvis_ai.leaf.reading import Read, View
from cuvis_ai.training.engine.pictures import Pictures
from cuvis_ai.training.monitors import Recorder
from cuvis_ai.training.visualizations import ComponentPlot
from tests.recorded_run import (
    CollectedPictures,
    attached_pictures,
    batches,
    execution_of,
    fitted_graph,
    validate,
)


@pytest.fixture(scope="module")
def graph():
    return fitted_graph()


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
    graph, kept = fitted_graph(leaves=False), CollectedPictures()
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
    kept, execution = CollectedPictures(), execution_of(graph)
    pictures = Pictures(execution, attached_pictures(graph), kept)
    assert not pictures.read_data
    observer = Observer(execution)
    pictures.start(observer, last=True)
    assert pictures.points() == observer.points() == ()
    pictures.collect(None, {})
    observer.finish()
    pictures.finish(observer, "val", epoch=0, global_step=0)
    assert [picture.name for _, _, picture in kept.pictures] == ["components"]
