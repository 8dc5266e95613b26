"""The study of how many bands are enough, on scenes whose answer is known."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance
from sklearn.metrics import average_precision_score, roc_auc_score

from cuvis_ai.band_study import study_bands
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.pipeline.scene_masks import MaskOptions

C = 12
TELLING = (2, 7)
"""The bands in which anomalies differ."""


def scene(folder: Path, *, mask: bool = True, name: str = "scene", c: int = C) -> Path:
    rng = np.random.default_rng(3)
    cube = rng.normal(size=(24, 20, c)) @ (np.eye(c) + 0.1 * rng.normal(size=(c, c)))
    truth = np.zeros((24, 20), bool)
    truth[3:21:3, 2:19:4] = True
    for band in TELLING:
        cube[truth, band] += 6.0
    np.save(folder / f"{name}.npy", cube.astype(np.float32))
    if mask:
        np.save(folder / f"{name}_mask.npy", truth)
    return folder / f"{name}.npy"


def test_the_telling_bands_are_found_and_enough(tmp_path: Path) -> None:
    study = study_bands(scene(tmp_path), k=[2, 4, 8])
    rows = {(row.method, row.k): row for row in study.rows}
    assert set(rows) == {(m, k) for m in ("separability", "uniform") for k in (2, 4, 8)} | {("all", C)}
    best = rows["separability", 2]
    assert best.bands == TELLING
    assert best.sufficient
    assert best.stability == 1
    assert best.auroc is not None
    assert best.auroc > (rows["uniform", 2].auroc or 1)
    assert rows["all", C].explained == 1


def test_held_out_values_are_those_of_scikit_learn(tmp_path: Path) -> None:
    """RX on the other half of the scene, in the bands of "all", whichever half they were chosen on."""
    path = scene(tmp_path)
    row = study_bands(path, k=[2]).rows[-1]
    cube, truth = np.load(path).astype(float), np.load(tmp_path / "scene_mask.npy")
    areas, precisions = [], []
    for half in (np.s_[:12], np.s_[12:], np.s_[:, :10], np.s_[:, 10:]):
        pixels, flags = cube[half].reshape(-1, C), truth[half].ravel()
        scores = EmpiricalCovariance().fit(pixels).mahalanobis(pixels)
        areas.append(roc_auc_score(flags, scores))
        precisions.append(average_precision_score(flags, scores))
    assert row.auroc == pytest.approx(np.mean(areas), abs=1e-6)
    assert row.average_precision == pytest.approx(np.mean(precisions), abs=1e-6)
    assert row.auroc_error == pytest.approx(np.std(areas, ddof=1) / 2, abs=1e-6)


def test_without_masks_moments_alone_decide(tmp_path: Path) -> None:
    study = study_bands(scene(tmp_path, mask=False), k=[3, 6])
    assert [row.method for row in study.rows] == ["explained", "explained", "uniform", "uniform", "all"]
    assert all(row.auroc is None and row.separability is None for row in study.rows)
    assert [row.explained for row in study.rows[:2]] == sorted(row.explained for row in study.rows[:2])
    cube = np.load(tmp_path / "scene.npy").reshape(-1, C).astype(float)
    chosen = list(study.rows[0].bands)
    others = [band for band in range(C) if band not in chosen]
    centred = cube - cube.mean(0)
    left = (
        centred[:, others] - centred[:, chosen] @ np.linalg.lstsq(centred[:, chosen], centred[:, others])[0]
    )
    expected = np.mean(1 - left.var(0) / centred[:, others].var(0))
    assert study.rows[0].explained == pytest.approx(expected, abs=1e-6)


def test_a_table_and_a_picture_are_written(tmp_path: Path) -> None:
    paths = study_bands(scene(tmp_path), k=[2, 4]).write(tmp_path / "out")
    rows = list(csv.DictReader(paths[0].read_text().splitlines()))
    assert rows[0]["bands"] == "2 7"
    assert [row["sufficient"] for row in rows].count("True") == 2
    assert paths[1].read_bytes().startswith(b"\x89PNG")


def test_scenes_of_other_bands_and_impossible_numbers_are_refused(tmp_path: Path) -> None:
    first = scene(tmp_path)
    with pytest.raises(ConfigError, match=r"k: expected numbers from 1 to the 12 bands"):
        study_bands(first, k=[13])
    with pytest.raises(ConfigError, match="methods"):
        study_bands(first, k=[2], methods=["best"])
    with pytest.raises(GraphError, match=r"expected the bands of .*scene\.npy"):
        study_bands([first, scene(tmp_path, name="other", c=13)], k=[2])
    with pytest.raises(ConfigError, match="needs masks"):
        study_bands(scene(tmp_path, mask=False, name="bare"), k=[2], methods=["separability"])


@pytest.mark.parametrize("name", ["abu-airport-4", "abu-urban-2", "hydice-urban-175"])
def test_ten_separating_bands_detect_as_even_ones_do(name: str, scenes: Path) -> None:
    study = study_bands(scenes / f"{name}.mat", k=[10], masks=MaskOptions(mask_key="map"))
    separating, even, _ = study.rows
    assert separating.auroc is not None
    assert even.auroc is not None
    assert separating.auroc >= even.auroc
