"""Scatter plots show the pixels that they were given; the subsample of a stream is even and bounded."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PathCollection

from cuvis_ai.training.visualizations.drawing.projection import Subsample, draw_scatter

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("d", "pairs"), [(2, [(0, 1)]), (3, [(0, 1), (0, 2), (1, 2)])])
def test_scatter_shows_each_pair_of_components(d, pairs):
    normal, rare = RNG.normal(size=(30, d)), RNG.normal(size=(4, d))
    figure = draw_scatter(normal, rare, np.full(d, 0.25))
    for axes, pair in zip(figure.axes, pairs, strict=True):
        drawn = [c.get_offsets() for c in axes.collections if isinstance(c, PathCollection)]
        np.testing.assert_array_equal(drawn[0], normal[:, pair])
        np.testing.assert_array_equal(drawn[1], rare[:, pair])
        assert axes.get_xlabel() == f"score {pair[0] + 1} (25.0% of variance)"


@given(
    sizes=st.lists(st.integers(0, 40), max_size=8),
    limit=st.integers(1, 20),
)
def test_sample_is_even_bounded_and_the_same_for_any_batches(sizes, limit):
    rows = np.arange(sum(sizes), dtype=float)[:, None]
    sample, whole = Subsample(limit, 1), Subsample(limit, 1)
    for part in np.split(rows, np.cumsum(sizes)[:-1] if sizes else []):
        sample.update(part)
    whole.update(rows)
    assert len(sample.rows) <= limit
    np.testing.assert_array_equal(sample.rows, rows[:: sample.stride])
    np.testing.assert_array_equal(sample.rows, whole.rows)
