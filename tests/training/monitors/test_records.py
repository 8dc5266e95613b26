"""Records: what is counted is all there, and a resumed run knows which are older than its checkpoint."""

import numpy as np
import pytest

from cuvis_ai.training.monitors import Run
from cuvis_ai.training.monitors.records import flattened, histogram_of, numbered, readable
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
    assert not Run(name="run", settings={}, structure="").follows({"epoch": 0, "global_step": 0})


@pytest.mark.parametrize(
    ("name", "epoch", "step", "older"),
    [
        ("train/loss/total", 1, 20, True),
        ("val/loss/total", 2, 25, True),  # of the epoch in which the checkpoint was written, before it
        ("train/loss/total_step", 2, 25, True),
        ("train/loss/total_step", 2, 26, False),
        ("train/loss/total", 2, 25, False),  # what closes that epoch is made again
        ("val/loss/total", 3, 40, False),
    ],
)
def test_a_resumed_run_follows_what_is_older_than_its_checkpoint(name, epoch, step, older):
    run = Run(name="run", settings={}, structure="", resumed_epoch=2, resumed_step=25)
    row = {"name": name, "value": 0.5, "stage": name.partition("/")[0], "epoch": epoch, "global_step": step}
    assert run.follows(row) is older


def test_a_resumed_run_follows_pictures_and_histograms_by_their_step_alone():
    run = Run(name="run", settings={}, structure="", resumed_epoch=2, resumed_step=25)
    assert run.follows({"stage": "train", "leaf": "leaf", "epoch": 2, "global_step": 25})
    assert run.follows({"name": "train/weight/w", "epoch": 2, "global_step": 25})
    assert not run.follows({"name": "train/weight/w", "epoch": 2, "global_step": 26})


@pytest.mark.parametrize(
    ("epoch", "text"),
    [(0, "0 (1st"), (1, "1 (2nd"), (2, "2 (3rd"), (6, "6 (7th"), (10, "10 (11th"), (20, "20 (21st")],
)
def test_sentences_name_an_epoch_as_files_do_and_as_people_count(epoch: int, text: str) -> None:
    assert numbered(epoch) == f"{text})"
    assert numbered(epoch, 30) == f"{text} of 30)"


def test_explained_variance_is_read_in_per_cent() -> None:
    assert readable("val/metric/explained_variance_pc1", 0.8071, digits=4) == "80.7%"
    assert readable("val/loss/total", 0.80712, digits=4) == "0.8071"
