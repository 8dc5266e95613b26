"""The record: what was logged is read back, and a resumed run goes on with what is older than its checkpoint."""

import json
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.training.monitors import Drawn, Outline, OutlineNode, Run, Scalar, Text
from cuvis_ai.training.monitors.records import Ending
from cuvis_ai.training.monitors.report.page import page
from cuvis_ai.training.monitors.report.record import read_record, row_of
from tests.recorded_run import SETTINGS

RUN = Run(name="run", settings={"lr": 0.1}, structure="graph")


def scalar(epoch, step, name="val/loss/total", value=0.5):
    stage = name.partition("/")[0]
    return Scalar(name=name, value=value, step=epoch, epoch=epoch, global_step=step, stage=stage)


def written(tmp_path, *rows):
    path = tmp_path / "report.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_record_holds_every_value(folder, metrics):
    read = read_record(folder / "report.jsonl")
    expected = [Scalar(**row) for row in metrics]
    assert [value.scalar for value in read.values] == expected
    assert read.run.settings == SETTINGS
    assert not read.ending.failed


def test_nothing_recorded_is_an_error(tmp_path):
    (tmp_path / "report.jsonl").write_text("")
    with pytest.raises(ValueError, match="expected the record of a run, got none"):
        read_record(tmp_path / "report.jsonl")


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf"), -float("inf")])
def test_every_value_is_read_back_and_every_line_is_strict_json(value, tmp_path):
    row = row_of(scalar(0, 1, value=value))
    json.dumps(row, allow_nan=False)
    read = read_record(written(tmp_path, row_of(RUN, machine={}), row)).values[0].scalar.value
    np.testing.assert_array_equal(read, value)


def test_all_kinds_are_read_back(tmp_path):
    picture = Drawn(
        leaf="leaf", picture="one", png=b"png", data={"a": np.ones(3)}, epoch=1, global_step=2, stage="val"
    )
    nodes = tuple(
        OutlineNode(name=name, kind="Kind", arguments={"a": "1"}, parents=parents, is_leaf=bool(parents))
        for name, parents in (("a", ()), ("b", ("a",)))
    )
    ending = Ending(values={"val/loss/total": 0.5}, failed=True, seconds=2.0)
    rows = map(row_of, (picture, Text(name="facts", text="text"), Outline(nodes=nodes), ending))
    read = read_record(written(tmp_path, row_of(RUN, machine={"Python": "3"}), *rows))
    assert read.run == RUN
    assert read.machine == {"Python": "3"}
    assert (read.pictures[0].name, read.pictures[0].png) == (picture.name, b"png")
    assert read.pictures[0].data == {}
    assert read.texts == {"facts": "text"}
    assert read.outline == Outline(nodes=nodes)
    assert read.ending == ending


def test_a_resumed_run_counts_as_one_with_what_it_goes_on_from(tmp_path):
    resumed = Run(name="run", settings={}, structure="", resumed_epoch=1, resumed_step=10)
    train = "train/loss/total"
    path = written(
        tmp_path,
        row_of(RUN, machine={}, time=1.0),
        *map(row_of, (scalar(0, 5), scalar(0, 5, train), scalar(1, 10), scalar(1, 10, train), scalar(1, 12))),
        row_of(resumed, machine={}),
        row_of(scalar(1, 12, value=0.25)),
    )
    read = read_record(path)
    assert read.run == resumed
    assert read.started == 1.0
    found = [(value.scalar.name, value.scalar.global_step, value.scalar.value) for value in read.values]
    assert found == [
        ("val/loss/total", 5, 0.5),
        (train, 5, 0.5),
        ("val/loss/total", 10, 0.5),  # before the checkpoint, within its epoch
        ("val/loss/total", 12, 0.25),
    ]


PLAIN_RUN = {"name": "g", "settings": {}, "structure": "", "resumed_epoch": None, "resumed_step": None}
SCRIPT = '1"><script>document.title = "owned"</script>'
DRAWN = {"leaf": "l", "picture": "p", "epoch": 0, "global_step": 0, "stage": "val", "png": ""}
SCALAR = {"name": "val/loss/total", "value": 1.0, "step": 0, "epoch": 0, "global_step": 0, "stage": "val"}


def foreign(folder: Path, kind: str, content: object) -> Path:
    rows = [
        {"kind": "Run", "time": 1.0, "machine": {}, "content": PLAIN_RUN},
        {"kind": kind, "time": 1.0, "machine": {}, "content": content},
    ]
    path = folder / "report.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("Drawn", {**DRAWN, "epoch": SCRIPT}),
        ("Drawn", {**DRAWN, "epoch": True}),
        ("Drawn", {**DRAWN, "leaf": ["l"]}),
        ("Drawn", {**DRAWN, "png": 5}),
        ("Scalar", {**SCALAR, "step": SCRIPT}),
        ("Scalar", {**SCALAR, "value": "one"}),
        ("Scalar", {}),
        ("Run", {**PLAIN_RUN, "name": 5}),
        ("Text", {"name": "n", "text": [SCRIPT]}),
        ("Outline", {"nodes": [{"name": SCRIPT}]}),
        ("Ending", {"values": {}, "failed": False, "seconds": SCRIPT}),
        ("Ending", 5),
    ],
)
def test_a_record_from_elsewhere_of_other_types_is_refused(
    kind: str, content: object, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="expected in line 2 what a `ReportMonitor` writes"):
        read_record(foreign(tmp_path, kind, content))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("Drawn", {**DRAWN, "leaf": SCRIPT, "picture": SCRIPT, "stage": SCRIPT}),
        ("Scalar", {**SCALAR, "name": f"val/loss/{SCRIPT}", "stage": SCRIPT}),
        ("Scalar", {**SCALAR, "name": SCRIPT}),
        ("Text", {"name": SCRIPT, "text": SCRIPT}),
        ("Run", {**PLAIN_RUN, "name": SCRIPT, "settings": {SCRIPT: {SCRIPT: SCRIPT}}}),
    ],
)
def test_texts_of_a_record_from_elsewhere_are_shown_as_text(
    kind: str, content: object, tmp_path: Path
) -> None:
    shown = page(read_record(foreign(tmp_path, kind, content)))
    assert "<script>document.title" not in shown
