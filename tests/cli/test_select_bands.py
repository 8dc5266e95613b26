"""The command `cuvis-ai select-bands`."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.cli import main


def test_it_prints_the_table_and_writes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(16, 12, 8)).astype(np.float32)
    mask = np.zeros((16, 12), bool)
    mask[2:15:3, 1:11:3] = True
    cube[mask, 5] += 8
    np.save(tmp_path / "scene.npy", cube)
    np.save(tmp_path / "truth.npy", mask)
    command = ["select-bands", str(tmp_path / "scene.npy"), "--mask", str(tmp_path / "truth.npy")]
    assert main([*command, "--k", "1,3", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "* 1 bands: 5\n" in printed
    assert "separability" in printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bands.csv", "bands.png"}


def test_labels_that_mean_unknown_are_no_anomalies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "scene.npy", rng.normal(size=(16, 12, 5)).astype(np.float32))
    np.save(tmp_path / "truth.npy", np.where(rng.random((16, 12)) < 0.2, 2, 0).astype(np.uint8))
    command = [
        "select-bands",
        str(tmp_path / "scene.npy"),
        "--masks",
        str(tmp_path / "truth.npy"),
        "--k",
        "2",
    ]
    assert main(command) == 0
    assert "separability" in capsys.readouterr().out
    assert main([*command, "--ignore-label", "2"]) == 0
    assert "separability" not in capsys.readouterr().out


def test_errors_are_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select-bands", str(tmp_path / "none.npy")]) == 1
    assert "expected a scene" in capsys.readouterr().err
