"""The detector of a study's bands is RX on these, and needs no others."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance

from cuvis_ai.band_study import chosen_detector, study_bands
from cuvis_ai.cli import main
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.scene_masks import MaskOptions
from tests.data.files import write_envi

NM = "{400,450,500,550,600,650,700,750}"


@pytest.fixture
def cube(tmp_path: Path) -> np.ndarray:
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(16, 12, 8)).astype(np.float32)
    mask = np.zeros((16, 12), bool)
    mask[2:15:3, 1:11:3] = True
    cube[mask, 6] += 8
    cube[mask, 2] -= 8
    write_envi(
        tmp_path / "scene.hdr", cube, bbl="{1,0,1,1,1,1,1,1}", wavelength=NM, wavelength_units="nm"
    )  # fmt: skip
    np.save(tmp_path / "truth.npy", mask)
    return cube


def test_it_is_rx_on_the_marked_bands(cube: np.ndarray, tmp_path: Path) -> None:
    study = study_bands(tmp_path / "scene.hdr", [2, 4], masks=MaskOptions(mask=tmp_path / "truth.npy"))
    graph = chosen_detector(study)
    (row,) = [row for row in study.rows if row.sufficient and row.method == "separability"]
    assert row.bands == (2, 6)
    pixels = cube[:, :, [2, 6]].reshape(-1, 2).astype(np.float64)
    n = len(pixels)
    expected = (EmpiricalCovariance().fit(pixels).mahalanobis(pixels) * (n - 1) / n).reshape(16, 12)
    (found,) = graph.predict(tmp_path / "scene.hdr")
    np.testing.assert_allclose(found.scores[..., 0], expected, rtol=1e-4)


def test_the_saved_graph_takes_a_camera_of_these_bands(cube: np.ndarray, tmp_path: Path) -> None:
    given = [str(tmp_path / "scene.hdr"), "--mask", str(tmp_path / "truth.npy"), "--k", "2"]
    assert main(["select-bands", *given, "--save", str(tmp_path / "bands.zip")]) == 0
    graph = Graph.load_from_file(tmp_path / "bands.zip")
    (of_all,) = graph.predict(tmp_path / "scene.hdr")
    write_envi(tmp_path / "two.hdr", cube[:, :, [2, 6]], wavelength="{500,700}", wavelength_units="nm")
    (of_two,) = graph.predict(tmp_path / "two.hdr")
    np.testing.assert_allclose(of_two.scores, of_all.scores, rtol=1e-6)
