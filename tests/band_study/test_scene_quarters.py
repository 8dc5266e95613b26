"""Scenes in quarters."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.band_study import scene_quarters
from cuvis_ai.band_study.scene_quarters import HALVES, Scene, merged
from cuvis_ai.data.mask_sources import mask_in_memory
from cuvis_ai.data.options import ReadingOptions


@pytest.mark.parametrize("strip", [1, 1 << 20])
def test_quarters_are_those_of_the_scene_however_it_is_cut(
    tmp_path: Path, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_quarters, "STRIP_BYTES", strip)
    rng = np.random.default_rng(0)
    cube, mask = rng.normal(size=(7, 5, 3)).astype("f4"), rng.random((7, 5)) > 0.6
    cube[0, 0, 1] = np.nan
    np.save(tmp_path / "a.npy", cube)
    scene = Scene(tmp_path / "a.npy", partial(mask_in_memory, mask), ReadingOptions())
    slices = [np.s_[:3, :2], np.s_[:3, 2:], np.s_[3:, :2], np.s_[3:, 2:]]
    for quarter, part in zip(scene.quarters, slices, strict=True):
        pixels, flags = cube[part].reshape(-1, 3), mask[part].ravel()
        finite = np.isfinite(pixels).all(1)
        for moments, of in ((quarter.normal, ~flags), (quarter.anomalous, flags)):
            assert moments.count == (of & finite).sum()
            np.testing.assert_allclose(moments.mean, pixels[of & finite].astype("f8").mean(0))
    for half in HALVES:
        parts = [scene.quarters[i] for i in (*half.own, *half.other)]
        assert merged(parts).count == 34


def test_a_cut_that_leaves_a_half_without_anomalies_is_moved_among_them(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(8, 8, 3)).astype("f4"))
    mask = np.zeros((8, 8), bool)
    mask[[0, 1, 3], [1, 5, 6]] = True
    scene = Scene(tmp_path / "a.npy", partial(mask_in_memory, mask), ReadingOptions())
    assert scene.cut == (1, 4)
