"""The histogram of scores counts all valid pixels of an epoch."""

import numpy as np
import pytest

from cuvis_ai.errors import ConfigError
from cuvis_ai.node.base.arguments import hyperparameters
from cuvis_ai.training.visualizations import ScoreHistogram
from tests.recorded_run import batches, drawn, scores_and_truth


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


def test_n_bins_is_another_name_of_bins():
    given = ScoreHistogram(n_bins=20)
    assert given.bins == 20
    assert ScoreHistogram(**hyperparameters(given)).bins == 20
    with pytest.raises(ConfigError, match="bins"):
        ScoreHistogram(n_bins=0)
