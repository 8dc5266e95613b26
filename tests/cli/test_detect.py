"""`cuvis-ai detect` on one scene, as somebody does who has never used it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

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


def test_masks_evaluate_and_the_page_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The measures are scikit-learn's on the written maps; masks leave maps and threshold as they are."""
    generator = np.random.default_rng(1)
    (tmp_path / "truth").mkdir()
    for name in "ab":
        cube = 100 + generator.normal(size=(40, 40, 3)).cumsum(0) @ generator.normal(size=(3, 8))
        cube += generator.normal(size=cube.shape)
        mask = np.zeros((40, 40), bool)
        mask[25, 12] = mask[8, 30:32] = True
        cube[mask] += 9 * generator.normal(size=8)
        np.save(tmp_path / f"{name}.npy", cube)
        np.save(tmp_path / "truth" / f"{name}.npy", mask)
    monkeypatch.chdir(tmp_path)
    assert main(["detect", "a.npy", "b.npy", "--masks", "truth", "--format", "npy"]) == 0
    assert "AUROC" in capsys.readouterr().out
    scores = np.concatenate([np.load(f"maps/{name}_scores.npy").ravel() for name in "ab"])
    truth = np.concatenate([np.load(f"truth/{name}.npy").ravel() for name in "ab"])
    values = json.loads(Path("maps/evaluation.json").read_text())["pooled"]
    assert values["auroc"] == pytest.approx(roc_auc_score(truth, scores), rel=1e-9)
    assert values["average_precision"] == pytest.approx(average_precision_score(truth, scores), rel=1e-6)
    assert f"{values['auroc']:.4f}" in Path("maps/report.html").read_text()

    assert main(["detect", "a.npy", "b.npy", "--out", "plain", "--format", "npy"]) == 0
    for name in "ab":
        for layer in ("scores", "detected"):
            map_ = f"{name}_{layer}.npy"
            assert Path("plain", map_).read_bytes() == Path("maps", map_).read_bytes()
    assert not Path("plain/evaluation.json").exists()
    assert "Against the masks" not in Path("plain/report.html").read_text()

    Path("maps/b_prediction.json").unlink()  # as if that scene had not been done
    before = Path("maps/evaluation.json").read_bytes()
    again = ["detect", "a.npy", "b.npy", "--masks", "truth", "--format", "npy"]
    assert main(again) == 1, "an evaluation stands there"
    assert main([*again, "--resume"]) == 0
    assert Path("maps/evaluation.json").read_bytes() == before, "of both scenes, the finished one included"
