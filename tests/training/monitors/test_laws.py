"""What holds for every monitor, swept over the table in `cases.py`."""

import importlib
import logging
import pkgutil
import sys
from inspect import isclass

import pytest

from cuvis_ai.errors import ConfigError
from cuvis_ai.pipeline.saving.class_path import resolve
from cuvis_ai.training import monitors
from cuvis_ai.training.monitors import Monitor, Recorder
from tests.recorded_run import METHODS, RUN, Kept, fitted_graph, log_everything, record
from tests.training.monitors.cases import MONITORS
from tests.wandb_files import fresh_wandb

__all__ = ["fresh_wandb"]  # a fixture

every = pytest.mark.parametrize("case", MONITORS, ids=str)
holding = pytest.mark.parametrize("case", [case for case in MONITORS if case.argument], ids=str)
optional = pytest.mark.parametrize("case", [case for case in MONITORS if case.package], ids=str)


@pytest.fixture
def folder(fresh_wandb):
    return fresh_wandb


def test_every_monitor_has_a_row():
    found = set()
    for module in pkgutil.walk_packages(monitors.__path__, f"{monitors.__name__}."):
        defined = [one for one in vars(importlib.import_module(module.name)).values() if isclass(one)]
        found |= {one for one in defined if one.__module__ == module.name and issubclass(one, Monitor)}
    assert found - {Monitor} == {case.monitor for case in MONITORS}


@every
def test_a_configuration_names_it_by_its_module_or_by_the_package(case):
    module, name = case.monitor.__module__, case.monitor.__name__
    assert resolve(f"{module}.{name}", (Monitor,)) is case.monitor
    if name in monitors.__all__:
        assert resolve(f"{monitors.__name__}.{name}", (Monitor,)) is case.monitor


@every
@pytest.mark.parametrize("failed", [False, True])
def test_it_takes_every_kind_of_record_of_any_run(case, failed, folder, caplog):
    monitor = case.make(folder)
    recorder = Recorder([monitor])
    with caplog.at_level(logging.WARNING, "cuvis_ai"):
        log_everything(recorder, failed=failed)
        log_everything(recorder, failed=failed)  # one monitor may serve several runs, one after another
    assert recorder.monitors == [monitor]
    assert not caplog.records


@every
def test_values_are_read_back_as_they_were_logged(case, folder):
    kept = Kept()
    recorder = record(fitted_graph(leaves=False), [case.make(folder), kept])
    assert len(recorder.monitors) == 2
    if case.read is not None:
        logged = {(one.name, one.step): one.value for rows in kept.of("log_scalars") for one in rows}
        assert case.read(folder) == pytest.approx(logged, rel=1e-7)  # TensorBoard has single precision


@every
def test_a_resumed_run_goes_on_with_the_values_before_it(case, folder):
    graph, kept = fitted_graph(leaves=False), Kept()
    record(graph, [case.make(folder), kept], epochs=2)
    recorder = record(graph, [case.make(folder), kept], epochs=1, first=2)
    assert len(recorder.monitors) == 2
    if case.read is not None:
        logged = {(one.name, one.step): one.value for rows in kept.of("log_scalars") for one in rows}
        assert case.read(folder) == pytest.approx(logged, rel=1e-7)


@holding
def test_a_second_run_of_the_process_is_refused_until_the_first_is_closed(case, folder):
    first, second = Recorder([case.make(folder)]), Recorder([case.make(folder)])
    first.setup(RUN)
    message = (
        rf"{case}: {case.argument}: expected a folder that no other run writes to, got '.*', which another run "
        r"of this process holds\. Wait for that run to end, or choose another folder\."
    )
    with pytest.raises(ConfigError, match=message):
        second.setup(RUN)
    assert len(first.monitors) == 1
    first.close()
    log_everything(Recorder([case.make(folder)]))


@holding
def test_one_that_failed_lets_go_of_its_folder_when_the_run_ends(case, folder, monkeypatch):
    failing = case.make(folder)
    monkeypatch.setattr(failing, "log_scalars", None)
    recorder = Recorder([failing])
    log_everything(recorder)
    assert recorder.monitors == []
    again = Recorder([case.make(folder)])
    log_everything(again)
    assert len(again.monitors) == 1


@holding
def test_it_says_where_its_output_is(case, folder):
    assert str(folder) in case.make(folder).where()


def test_monitors_of_all_classes_share_a_folder(folder):
    recorder = Recorder([case.make(folder) for case in MONITORS])
    log_everything(recorder)
    assert len(recorder.monitors) == len(MONITORS)


@optional
def test_a_missing_package_gives_one_warning(case, folder, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, case.package, None)
    kept = Kept()
    with caplog.at_level(logging.WARNING, "cuvis_ai"):
        log_everything(Recorder([case.make(folder), kept]))
    [warning] = caplog.records
    assert f"`{case.package}`, which is not installed" in warning.getMessage()
    assert 'pip install "cubes-to-maps[' in warning.getMessage()
    assert kept.names() == METHODS
