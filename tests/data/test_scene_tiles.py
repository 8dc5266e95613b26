import logging
import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
from numpy.typing import NDArray

from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError


@pytest.fixture
def scene() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(0)
    return rng.random((50, 70, 6), dtype=np.float32), rng.random((50, 70)) < 0.01


def _seen(tiles: SceneTiles, cube: NDArray[Any], mask: NDArray[Any] | None) -> list[NDArray[np.int_]]:
    """How often each split has each pixel; every value is compared, and the statistics' pixels, on the way."""
    counts = []
    for loader in (
        tiles.train_dataloader(),
        tiles.val_dataloader(),
        tiles.test_dataloader(),
        tiles.statistics_dataloader(),
    ):
        seen = np.zeros(cube.shape[:2], dtype=int)
        for batch in loader:
            for i, name in enumerate(batch["name"]):
                rows, columns = name.partition("[")[2].rstrip("]").split(",")
                (top, bottom), (left, right) = (map(int, part.split(":")) for part in (rows, columns))
                seen[top:bottom, left:right] += 1
                inside = (i, slice(bottom - top), slice(right - left))
                values = batch["cube"].permute(0, 2, 3, 1)[inside]
                np.testing.assert_array_equal(values.numpy(), cube[top:bottom, left:right])
                if mask is not None:
                    np.testing.assert_array_equal(batch["mask"][inside], mask[top:bottom, left:right])
                if "valid" in batch:
                    assert batch["valid"][inside].all()
                    assert batch["valid"][i].sum() == (bottom - top) * (right - left)
        counts.append(seen)
    *counts, for_statistics = counts
    np.testing.assert_array_equal(for_statistics, counts[0])
    return counts


@pytest.mark.parametrize("max_batch_mb", [None, 0.003])
def test_the_splits_divide_the_scene(
    tmp_path: Path, scene: tuple[NDArray[np.float32], NDArray[np.bool_]], max_batch_mb: float | None
) -> None:
    cube, mask = scene
    np.save(tmp_path / "cube.npy", cube)
    np.save(tmp_path / "mask.npy", mask)
    tiles = SceneTiles(
        tmp_path / "cube.npy", mask=tmp_path / "mask.npy", tile=16, batch_size=3, max_batch_mb=max_batch_mb
    )
    counts = _seen(tiles, cube, mask)
    assert (np.sum(counts, axis=0) == 1).all()
    for seen in counts:
        assert (mask & (seen == 1)).any()
        blocks = {(int(row) // 16, int(column) // 16) for row, column in np.argwhere(seen)}
        for row, column in blocks:  # no tile is divided between splits
            assert seen[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16].all()


def test_a_batch_stays_below_the_limit(
    tmp_path: Path, scene: tuple[NDArray[np.float32], NDArray[np.bool_]]
) -> None:
    np.save(tmp_path / "cube.npy", scene[0])
    tiles = SceneTiles(tmp_path / "cube.npy", tile=(50, 70), batch_size=2, max_batch_mb=0.02)
    sizes = [batch["cube"].numel() * 4 for batch in tiles.predict_dataloader()]
    assert len(sizes) > 1
    assert max(sizes) <= 20_000


def test_a_batch_of_statistics_has_no_more_pixels_than_others(
    tmp_path: Path, scene: tuple[NDArray[np.float32], NDArray[np.bool_]]
) -> None:
    np.save(tmp_path / "cube.npy", scene[0])
    tiles = SceneTiles(tmp_path / "cube.npy", tile=10, batch_size=4, fractions=(1, 0, 0))
    sizes = [batch["cube"].shape[2:].numel() for batch in tiles.statistics_dataloader()]
    assert sizes == [400, 300] * 5


def test_where_tiles_may_be_skipped_statistics_read_them_one_by_one(
    tmp_path: Path, scene: tuple[NDArray[np.float32], NDArray[np.bool_]]
) -> None:
    np.save(tmp_path / "cube.npy", scene[0])
    tiles = SceneTiles(tmp_path / "cube.npy", tile=10, fractions=(1, 0, 0), on_error="skip")
    sizes = [batch["cube"].shape[2:].numel() for batch in tiles.statistics_dataloader()]
    assert sizes == [100] * 35


def test_without_a_mask_there_is_none(
    tmp_path: Path, scene: tuple[NDArray[np.float32], NDArray[np.bool_]]
) -> None:
    np.save(tmp_path / "cube.npy", scene[0])
    tiles = SceneTiles(tmp_path / "cube.npy", tile=10, num_workers=1)
    assert (np.sum(_seen(tiles, scene[0], None), axis=0) == 1).all()
    assert all("mask" not in batch and "valid" not in batch for batch in tiles.predict_dataloader())


def test_cube_and_mask_of_one_file(
    tmp_path: Path, scene: tuple[NDArray[np.float32], NDArray[np.bool_]]
) -> None:
    cube, mask = scene
    scipy.io.savemat(tmp_path / "scene.mat", {"data": cube, "map": mask.astype(np.uint8)})
    tiles = SceneTiles(tmp_path / "scene.mat", tile=25, key="data", mask_key="map")
    assert (np.sum(_seen(tiles, cube, mask), axis=0) == 1).all()
    np.testing.assert_array_equal(tiles.scene()["mask"][0], mask)


@pytest.mark.parametrize(
    ("file", "n_anomalous"),
    [("abu-airport-4.mat", 60), ("abu-urban-2.mat", 155), ("hydice-urban-175.mat", 21)],
)
def test_real_scenes(scenes: Path, file: str, n_anomalous: int) -> None:
    tiles = SceneTiles(scenes / file, key="data", mask_key="map", tile=10, batch_size=8)
    arrays = scipy.io.loadmat(scenes / file)
    counts = _seen(tiles, arrays["data"].astype(np.float32), arrays["map"] != 0)
    assert (np.sum(counts, axis=0) == 1).all()
    assert int(tiles.scene()["mask"].sum()) == n_anomalous


def test_pixels_of_unknown_label_are_invalid_in_every_tile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes = np.random.default_rng(0).integers(0, 3, size=(8, 9)).astype(np.uint8)
    classes[:4, :4] = 255  # a whole tile
    np.save(tmp_path / "cube.npy", np.ones((8, 9, 3), dtype=np.float32))
    np.save(tmp_path / "classes.npy", classes)
    tiles = SceneTiles(
        tmp_path / "cube.npy",
        mask=tmp_path / "classes.npy",
        tile=4,
        anomaly_values=[2],
        ignore_values=[255, 1],
        num_workers=1,
    )
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        scene = tiles.scene()
    np.testing.assert_array_equal(scene["valid"][0], np.isin(classes, [0, 2]))
    np.testing.assert_array_equal(scene["mask"][0], classes == 2)
    n_valid = sum(int(batch["valid"].sum()) for batch in tiles.predict_dataloader())
    assert n_valid == np.isin(classes, [0, 2]).sum()
    shares = [int(found[1]) for found in re.finditer(r"of (\d+) pixels \(", caplog.text)]
    assert sum(shares) == n_valid


def test_classes_of_a_map_can_be_the_anomaly(tmp_path: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 5, size=(8, 9))
    np.save(tmp_path / "cube.npy", np.ones((8, 9, 3), dtype=np.float32))
    np.save(tmp_path / "classes.npy", classes)
    files = (tmp_path / "cube.npy", tmp_path / "classes.npy")
    tiles = SceneTiles(files[0], mask=files[1], tile=4, anomaly_values=[2, 4])
    np.testing.assert_array_equal(tiles.scene()["mask"][0], np.isin(classes, [2, 4]))


def test_one_tile_is_for_training(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.ones((4, 5, 3), dtype=np.float32))
    tiles = SceneTiles(tmp_path / "cube.npy", tile=(4, 5))
    assert len(list(tiles.train_dataloader())) == 1
    assert tiles.val_dataloader() == tiles.test_dataloader() == []


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.ones((4, 5, 3), dtype=np.float32))
    np.save(tmp_path / "mask.npy", np.ones((5, 4), dtype=bool))
    with pytest.raises(CubeFormatError, match=r"mask\.npy.*\(4, 5\).*\(5, 4\)"):
        SceneTiles(tmp_path / "cube.npy", mask=tmp_path / "mask.npy", tile=2).setup()


@pytest.mark.parametrize("missing", ["path", "mask"])
def test_a_missing_file_is_named_with_its_argument(tmp_path: Path, missing: str) -> None:
    np.save(tmp_path / "here.npy", np.ones((4, 5, 3), dtype=np.float32))
    files: dict[str, Any] = dict.fromkeys(("path", "mask"), tmp_path / "here.npy")
    files[missing] = tmp_path / "gone.npy"
    with pytest.raises(DatasetNotFoundError, match=rf"`{missing}`.*{tmp_path}/gone\.npy"):
        SceneTiles(**files, tile=2).setup()


def test_impossible_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`max_batch_mb` above 0"):
        SceneTiles(tmp_path / "cube.npy", max_batch_mb=0)
    np.save(tmp_path / "cube.npy", np.ones((4, 5, 3), dtype=np.float32))
    with pytest.raises(ConfigError, match="`tile`: expected from 1x1 to the scene's 4x5"):
        SceneTiles(tmp_path / "cube.npy", tile=5).setup()


@pytest.mark.parametrize("flagged", [True, False])
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_a_tile_as_enmap_has_it_needs_no_argument(tmp_path: Path, flagged: bool) -> None:
    """224 bands of int16, six of which hold nothing but the no-data value and are flagged."""
    empty = [130, 131, 132, 133, 134, 135]
    tile = np.random.default_rng(0).integers(1, 9000, (16, 16, 224), dtype=np.int16)
    tile[:, :, empty] = -32768
    path = tmp_path / "enmap.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=16, width=16, count=224, dtype="int16", nodata=-32768
    ) as file:
        file.write(tile.transpose(2, 0, 1))
        for band in range(224):
            file.update_tags(band + 1, wavelength=str(420 + 9 * band), wavelength_units="nm")
            if flagged:
                file.update_tags(band + 1, bbl=str(int(band not in empty)))
    tiles = SceneTiles(path, tile=8)
    batch = tiles.scene()
    assert "valid" not in batch
    assert tiles.band_indices == [band for band in range(224) if band not in empty]
    assert batch["wavelengths"].tolist() == [420 + 9 * band for band in tiles.band_indices]


@pytest.mark.parametrize("axes", ["cwh", "whc", "chw"])
def test_a_mask_in_the_cubes_own_file_lies_as_the_cube_does(tmp_path: Path, axes: str) -> None:
    cube = np.random.default_rng(0).random((6, 6, 5)).astype("f4")
    mask = cube[:, :, 0] > 0.7
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["cube"] = cube.transpose(["hwc".index(letter) for letter in axes])
        file["mask"] = mask.T if axes.index("w") < axes.index("h") else mask
    batch = SceneTiles(tmp_path / "a.h5", mask_key="mask", axes=axes, tile=3).scene()
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0), cube)
    np.testing.assert_array_equal(batch["mask"][0], mask)


@pytest.mark.parametrize("tile", [None, 16])
@pytest.mark.parametrize("max_batch_mb", [None, 0.003])
def test_without_fractions_every_split_has_all_pixels(
    tmp_path: Path,
    scene: tuple[NDArray[np.float32], NDArray[np.bool_]],
    tile: int | None,
    max_batch_mb: float | None,
) -> None:
    cube, mask = scene
    np.save(tmp_path / "cube.npy", cube)
    np.save(tmp_path / "mask.npy", mask)
    tiles = SceneTiles(
        tmp_path / "cube.npy",
        mask=tmp_path / "mask.npy",
        tile=tile,
        fractions=None,
        batch_size=2,
        max_batch_mb=max_batch_mb,
    )
    assert all((seen == 1).all() for seen in _seen(tiles, cube, mask))
    assert len(tiles.predict_dataloader()) == len(tiles.train_dataloader())
