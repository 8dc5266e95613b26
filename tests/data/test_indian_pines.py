import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cuvis_ai.data.indian_pines import CLASSES, WAVELENGTHS, IndianPines
from cuvis_ai.errors import ConfigError, MissingExtraError

pytest.importorskip("tensorly", reason="needs the Indian Pines scene of the package tensorly")


@pytest.fixture(scope="module")
def scene() -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Cube (h, w, c) and classes (h, w), read without our code."""
    spec = importlib.util.find_spec("tensorly")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "datasets" / "data"
    return np.load(folder / "Indian_pines_corrected.npy"), np.load(folder / "Indian_pines_gt.npy")


def _corner(name: str) -> tuple[int, int]:
    """Top and left of a tile called `indian_pines[0:23,46:69]`."""
    rows, columns = name.partition("[")[2].rstrip("]").split(",")
    return int(rows.partition(":")[0]), int(columns.partition(":")[0])


@pytest.mark.parametrize("tile", [23, 16, (29, 145)])
def test_the_splits_divide_the_scene(
    scene: tuple[NDArray[np.uint16], NDArray[np.uint8]], tile: int | tuple[int, int]
) -> None:
    cube, classes = scene
    pines = IndianPines(tile=tile, batch_size=3)
    seen = np.zeros((145, 145), dtype=int)
    for loader in (pines.train_dataloader(), pines.val_dataloader(), pines.test_dataloader()):
        for batch in loader:
            for i, name in enumerate(batch["name"]):
                top, left = _corner(name)
                valid = batch["valid"][i] if "valid" in batch else torch.ones_like(batch["mask"][i])
                height, width = int(valid.any(1).sum()), int(valid.any(0).sum())
                where = (slice(top, top + height), slice(left, left + width))
                assert valid.sum() == height * width
                seen[where] += 1
                values = batch["cube"][i, :, :height, :width].permute(1, 2, 0).numpy()
                np.testing.assert_array_equal(values, cube[where].astype(np.float32))
                np.testing.assert_array_equal(batch["mask"][i, :height, :width], classes[where] == 16)
                np.testing.assert_array_equal(batch["labels"][i, :height, :width], classes[where])
    assert (seen == 1).all()


def test_every_split_has_its_share_of_the_anomaly() -> None:
    pines = IndianPines()
    loaders = (pines.train_dataloader(), pines.val_dataloader(), pines.test_dataloader())
    assert [sum(int(batch["mask"].sum()) for batch in loader) for loader in loaders] == [53, 20, 20]


def test_the_splits_do_not_depend_on_the_training_seed() -> None:
    first, second = IndianPines(seed=0), IndianPines(seed=1)
    names = [[batch["name"] for batch in pines.test_dataloader()] for pines in (first, second)]
    assert names[0] == names[1]
    other = IndianPines(split_seed=1)
    assert [batch["name"] for batch in other.test_dataloader()] != names[0]


def test_the_whole_scene_for_pictures(scene: tuple[NDArray[np.uint16], NDArray[np.uint8]]) -> None:
    cube, classes = scene
    whole = IndianPines(anomaly_class=14).scene()
    np.testing.assert_array_equal(whole["cube"][0].permute(1, 2, 0).numpy(), cube.astype(np.float32))
    np.testing.assert_array_equal(whole["mask"][0], classes == CLASSES.index("Woods"))
    np.testing.assert_array_equal(whole["labels"][0], classes)
    assert whole["cube"].permute(0, 2, 3, 1).is_contiguous()
    assert "valid" not in whole


def test_wavelengths_are_those_of_the_bands_that_the_scene_has() -> None:
    pines = IndianPines(bad_bands=[0])
    assert pines.wavelengths is not None
    np.testing.assert_allclose(pines.wavelengths, WAVELENGTHS[1:])
    assert len(WAVELENGTHS) == 200
    assert WAVELENGTHS[0] == pytest.approx(400.02)
    # Bands 103 and 109, 149 and 164 of AVIRIS are neighbours here, and band 219 is the last.
    gaps = np.flatnonzero(np.diff(WAVELENGTHS) > 40)
    assert gaps.tolist() == [102, 143]
    assert WAVELENGTHS[102] == pytest.approx(1352.68)
    assert WAVELENGTHS[103] == pytest.approx(1412.39)
    assert WAVELENGTHS[-1] == pytest.approx(2489.11)


def test_wavelengths_agree_with_the_calibration_file_of_spectral_python() -> None:
    spectral = importlib.util.find_spec("spectral")
    assert spectral is not None
    assert spectral.origin is not None
    file = Path(spectral.origin).parent / "tests" / "data" / "92AV3C.spc"
    if not file.is_file():
        pytest.skip("needs 92AV3C.spc, which this release of spectral does not carry")
    centres = np.loadtxt(file, skiprows=2, usecols=0)
    removed = [*range(104, 109), *range(150, 164), 220]
    np.testing.assert_allclose(WAVELENGTHS, np.delete(centres, np.array(removed) - 1), atol=0.005)


def test_global_rx_of_the_whole_scene_has_the_known_auc() -> None:
    whole = IndianPines().scene()
    pixels = whole["cube"].permute(0, 2, 3, 1).reshape(-1, 200).double().numpy()
    centred = pixels - pixels.mean(0)
    precision = np.linalg.pinv(np.cov(pixels.T), hermitian=True)
    scores = np.einsum("nc,nc->n", centred @ precision, centred)
    anomalous = whole["mask"].reshape(-1).numpy()
    ranks = scores.argsort().argsort() + 1
    n, n_anomalous = len(scores), anomalous.sum()
    auc = (ranks[anomalous].sum() - n_anomalous * (n_anomalous + 1) / 2) / (n_anomalous * (n - n_anomalous))
    assert auc == pytest.approx(0.9201, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"anomaly_class": 0}, "`anomaly_class` from 1 to 16, got 0"),
        ({"anomaly_class": 17}, "`anomaly_class` from 1 to 16, got 17"),
        ({"tile": 0}, "`tile` of one or two positive numbers, got 0"),
        ({"tile": (4, 4, 4)}, "`tile`"),
        ({"fractions": (0.5, 0.5)}, "`fractions` of three shares"),
        ({"fractions": (0.5, 0.5, 0.5)}, "`fractions`.*sum to 1"),
        ({"split_seed": -1}, "`split_seed`"),
        ({"batch_size": 0}, "`batch_size`"),
    ],
)
def test_impossible_arguments_are_refused_at_once(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        IndianPines(**arguments)  # type: ignore[arg-type]


def test_a_tile_larger_than_the_scene_is_refused() -> None:
    with pytest.raises(ConfigError, match="`tile`: expected from 1x1 to the scene's 145x145.*got 146x20"):
        IndianPines(tile=(146, 20)).setup()


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="tiles"):
        IndianPines(tiles=3)  # type: ignore[call-arg]


def test_without_tensorly_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "tensorly", None)
    with pytest.raises(MissingExtraError, match=r"cubes-to-maps\[sample\]"):
        IndianPines().setup()


def test_the_scene_is_read_without_importing_tensorly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tensorly", raising=False)
    IndianPines().setup("test")
    assert "tensorly" not in sys.modules
