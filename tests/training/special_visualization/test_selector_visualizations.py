"""Pictures of a choice of bands."""

import numpy as np

from tests.recorded_run import WAVELENGTHS, batches, drawn, selector_graph


def test_pictures_show_the_histories_of_the_node() -> None:
    graph = selector_graph()
    selector = graph.nodes["selector"]
    data = drawn(graph, batches())
    assert data["temperature"]["temperature"].tolist() == [5.0, 4.5]
    assert data["channel_mask"]["chosen"].tolist() == [2, 4, 6]
    np.testing.assert_allclose(data["channel_mask"]["weights"].sum(), 3, rtol=1e-6)
    np.testing.assert_array_equal(data["channel_mask"]["wavelengths"], WAVELENGTHS)
    before = set(selector.history[1, 2:].long().tolist())
    both = len(before & {2, 4, 6})
    assert data["stability"]["similarity"].tolist() == [1.0, both / (6 - both)]
    assert data["stability"]["changed"].tolist() == [0, 3 - both]


def test_without_an_epoch_only_the_start_is_drawn() -> None:
    graph = selector_graph()
    graph.nodes["selector"].set_state(history=graph.nodes["selector"].history[:1])
    assert drawn(graph, batches()).keys() == {"channel_mask"}
