"""The heatmap shows one cube of the epoch."""

import numpy as np

from tests.recorded_run import batches, drawn


def test_heatmap_shows_the_cube_with_the_most_anomalies(graph):
    seen = batches(3, invalid=True)
    got = drawn(graph, seen)["heatmap"]
    assert str(got["name"]) == "cube_2_1"
    cube, valid = seen[2]["cube"][1:], seen[2]["valid"][1:]
    np.testing.assert_allclose(got["values"][..., 0], graph(cube, valid=valid).output[0, 0], atol=1e-5)
    assert np.isnan(got["values"][~valid[0].numpy()]).all()
    assert (got["image"][~valid[0].numpy()] == round(0.82 * 255)).all()
    np.testing.assert_array_equal(got["mask"], (seen[2]["mask"][1] & valid[0]).numpy())
