"""Records: what is counted is all there, and a resumed run knows which are older than its checkpoint."""

import numpy as np
import pytest

from cuvis_ai.training.monitors import Run
from cuvis_ai.training.monitors.records import flattened, histogram_of
from tests.recorded_run import STEP


@pytest.mark.parametrize(
    ("values", "n", "nonfinite"),
    [
        (np.arange(100.0), 100, 0),
        (np.array([1.0, np.nan, np.inf, 2.0]), 2, 2),
        (np.full(7, 3.0), 7, 0),
        (np.empty(0), 0, 0),
        (np.full(3, np.nan), 0, 3),
        (np.array([1e30, -1e30], dtype=np.float32), 2, 0),
    ],
)
def test_histogram_counts_every_finite_value(values, n, nonfinite):
    histogram = histogram_of("train/weight/w", values, **STEP)
    assert histogram.counts.sum() == n
    assert histogram.n_nonfinite == nonfinite
    assert np.isfinite([histogram.mean, histogram.std, *histogram.edges]).all()
    if n:
        assert histogram.mean == pytest.approx(values[np.isfinite(values)].astype(float).mean())


def test_settings_are_flattened_to_dotted_names():
    nested = {"a": {"b": {"c": 1}, "d": [2]}, "e": None}
    assert flattened(nested) == {"a.b.c": 1, "a.d": [2], "e": None}


def test_a_run_from_the_start_follows_nothing():
    assert not Run(name="run", settings={}, structure="").follows(0, 0)


@pytest.mark.parametrize(
    ("epoch", "step", "closing", "older"),
    [
        (1, 20, True, True),
        (2, 25, False, True),  # of the epoch in which the checkpoint was written, before it
        (2, 26, False, False),
        (2, 25, True, False),  # what closes that epoch is made again
        (3, 40, False, False),
    ],
)
def test_a_resumed_run_follows_what_is_older_than_its_checkpoint(epoch, step, closing, older):
    run = Run(name="run", settings={}, structure="", resumed_epoch=2, resumed_step=25)
    assert run.follows(epoch, step, closing=closing) is older
