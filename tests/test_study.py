"""The study of detectors follows its protocol, and runs on any folder of labelled scenes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detectors import Half, folds, halves
from tests.conftest import REPOSITORY


def scene(left: int, right: int, top_left: int = 0) -> Half:
    """A scene of 8 x 10 pixels with so many anomalies in the lower left, the lower right and the upper left."""
    mask = np.zeros((8, 10), dtype=bool)
    mask[4:, :5] = np.arange(20).reshape(4, 5) < left
    mask[4:, 5:] = np.arange(20).reshape(4, 5) < right
    mask[:4, :5] = np.arange(20).reshape(4, 5) < top_left
    return Half(np.random.default_rng(0).normal(size=(8, 10, 6)), mask)


@pytest.mark.parametrize(
    ("counts", "shape"),
    [
        ((7, 7, 0), (8, 5)),  # left and right have 7
        ((7, 6, 5), (4, 10)),  # the right has 6: top 5, bottom 13
        ((6, 6, 4), None),  # the top has 4
    ],
)
def test_scenes_are_cut_at_the_middle_column_if_both_halves_have_seven(
    counts: tuple[int, int, int], shape: tuple[int, int] | None
) -> None:
    whole = scene(*counts)
    parts = halves(whole)
    assert (None if parts is None else parts[0].mask.shape) == shape
    if parts is not None:
        axis = 0 if shape == (4, 10) else 1
        np.testing.assert_array_equal(np.concatenate([part.mask for part in parts], axis), whole.mask)
        np.testing.assert_array_equal(np.concatenate([part.values for part in parts], axis), whole.values)


def written(folder: Path) -> None:
    for name, one in {"enough": scene(8, 8), "few": scene(3, 1)}.items():
        values = one.values + 4.0 * one.mask[..., None]
        np.save(folder / f"{name}.npy", values.astype(np.float32))
        np.save(folder / f"{name}_mask.npy", one.mask)


def test_each_half_is_trained_on_once_and_what_is_left_out_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path)
    first, second = folds(tmp_path)
    assert capsys.readouterr().out.startswith("few: left out, 4 anomalous pixels")
    assert first.train is second.test
    assert first.test is second.train


@pytest.mark.slow
def test_the_table_has_a_row_for_each_detector(tmp_path: Path) -> None:
    written(tmp_path)
    command = [sys.executable, "-m", "benchmarks.detectors", str(tmp_path), "--seeds", "2", "--folds"]
    printed = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    rows = [line for line in printed.splitlines() if line.startswith("|")]
    names = [row.split("|")[1].strip() for row in rows]
    assert "2 folds" in printed
    assert {"RX on all bands", "random forest", "LDA with shrinkage", "`supervised()`, trained"} <= set(names)
    assert names[-2:] == ["enough, 1", "enough, 2"]
    assert "seeds ±" in printed
