"""The plot of components shows the current weights."""

import numpy as np

from tests.recorded_run import WAVELENGTHS, batches, drawn


def test_components_are_the_current_ones(graph):
    got = drawn(graph, batches())["components"]
    np.testing.assert_array_equal(got["components"], graph.nodes["trainable_pca"].components.detach())
    np.testing.assert_array_equal(got["wavelengths"], WAVELENGTHS)
