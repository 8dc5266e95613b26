"""The recorder: all monitors get the same records, and none of them ends a run."""

import logging

import numpy as np
import pytest

from cuvis_ai.errors import ConfigError
from cuvis_ai.training.monitors import Monitor, Recorder
from tests.recorded_run import METHODS, RUN, STEP, Kept, fitted_graph, log_everything, picture, record


@pytest.mark.parametrize("method", METHODS)
def test_a_monitor_that_fails_is_left_out_until_it_is_closed_and_the_others_go_on(method, caplog):
    failing, kept = Kept(fails_at=method), Kept()
    with caplog.at_level(logging.WARNING, "cuvis_ai"):
        log_everything(Recorder([failing, kept]))
    [warning] = caplog.records
    assert warning.getMessage() == (
        "Kept failed and records no more of this run; training goes on. RuntimeError: no disk left"
    )
    assert failing.names() == [*METHODS[: METHODS.index(method)], *(["close"] if method != "close" else [])]
    assert kept.names() == METHODS


def test_an_interrupt_passes():
    with pytest.raises(KeyboardInterrupt):
        log_everything(Recorder([Kept(fails_at="log_scalars", error=KeyboardInterrupt())]))


def test_other_ranks_record_nothing():
    kept = Kept()
    recorder = Recorder([kept], active=False)
    log_everything(recorder)
    assert not recorder.active
    assert kept.calls == []


def test_all_monitors_receive_the_same_records():
    first, second = Kept(), Kept()
    log_everything(Recorder([first, second]))
    assert all(a is b for (_, a), (_, b) in zip(first.calls, second.calls, strict=True))


def test_ending_holds_the_last_value_of_each_epoch():
    kept = Kept()
    record(fitted_graph(leaves=False), [kept], failed=True)
    [ending] = kept.of("close")
    assert ending.values["val/loss/total"] == 0.75
    assert "train/loss/total_step" not in ending.values
    assert ending.failed


def test_figures_are_cleared_once_rendered():
    one = picture()
    Recorder([Kept()]).figures([("leaf", one)], "val", **STEP)
    assert one.figure.axes == []


def test_a_figure_that_cannot_be_rendered_costs_a_warning_alone(caplog):
    broken, kept = picture("broken"), Kept()
    broken.figure.suptitle("$\\notacommand{$")
    with caplog.at_level(logging.WARNING, "cuvis_ai"):
        Recorder([kept]).figures([("leaf", broken), ("leaf", picture())], "val", **STEP)
    assert [one.picture for one in kept.of("log_figures")[0]] == ["picture"]
    assert "Picture `broken` of `leaf` could not be rendered" in caplog.text


def test_object_arrays_would_be_pickled_and_are_left_out(caplog):
    one, kept = picture(), Kept()
    one.data["objects"] = np.array([{}, None], dtype=object)
    Recorder([kept]).figures([("leaf", one)], "val", **STEP)
    assert set(kept.of("log_figures")[0][0].data) == {"line"}
    assert "['objects'] hold objects" in caplog.text


def test_a_refusal_closes_what_was_opened_and_nothing_else():
    opened, failing, never = Kept(), Kept(fails_at="setup"), Kept()
    refusing = Kept(fails_at="setup", error=ConfigError("no folder"))
    recorder = Recorder([opened, failing, refusing, never])
    with pytest.raises(ConfigError, match="no folder"):
        recorder.setup(RUN)
    assert opened.names() == ["setup", "close"]
    assert opened.of("close")[0].failed
    assert refusing.calls == never.calls == []


def test_a_monitor_writes_only_the_methods_that_it_has_a_use_for():
    class Losses(Monitor):
        def __init__(self):
            self.found = []

        def log_scalars(self, scalars):
            self.found += [one.value for one in scalars]

    losses = Losses()
    recorder = Recorder([losses])
    log_everything(recorder)
    assert recorder.monitors == [losses]
    assert losses.found == [0.5]


def test_whatever_has_the_methods_is_a_monitor():
    assert isinstance(Kept(), Monitor)
    assert not isinstance(object(), Monitor)
