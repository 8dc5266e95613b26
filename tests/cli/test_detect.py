"""`cuvis-ai detect` on one scene, as somebody does who has never used it."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.cli.command_line import main


def test_maps_are_written_without_any_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    cube = 100 + generator.normal(size=(40, 40, 3)).cumsum(0) @ generator.normal(size=(3, 8))
    cube += generator.normal(size=cube.shape)
    cube[25, 12] += 50 * generator.normal(size=8)
    np.save(tmp_path / "scene.npy", cube)
    monkeypatch.chdir(tmp_path)

    assert main(["detect", "scene.npy", "--false-alarm-rate", "1e-4", "--top", "3"]) == 0

    with (tmp_path / "maps" / "scene_detections.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert 1 <= len(rows) <= 3
    assert abs(float(rows[0]["row"]) - 25) <= 1
    assert abs(float(rows[0]["column"]) - 12) <= 1


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["detect", "--help"])
    assert "cuvis-ai detect scene.hdr --out maps" in capsys.readouterr().out
