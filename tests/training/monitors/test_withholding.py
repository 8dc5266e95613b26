"""Texts that monitors are not given."""

from cuvis_ai.training.monitors import Run
from cuvis_ai.training.monitors.withholding import without

RUN = Run(name="s3cret", settings={"trainer": {"default_root_dir": "/x/s3cret/y", "devices": 1}, "cpu": ["cpu", "cpus"]}, structure="g")  # fmt: skip


def test_texts_are_replaced_wherever_they_are() -> None:
    run = without(RUN, {"s3cret": "${oc.env:SECRET}"})
    assert run.name == "${oc.env:SECRET}"
    assert run.settings["trainer"] == {"default_root_dir": "/x/${oc.env:SECRET}/y", "devices": 1}


def test_short_texts_are_replaced_as_a_whole_alone() -> None:
    assert without(RUN, {"cpu": "${oc.env:ACC}"}).settings["cpu"] == ["${oc.env:ACC}", "cpus"]


def test_nothing_withheld_leaves_the_record() -> None:
    assert without(RUN, {}) is RUN
