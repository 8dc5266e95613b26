import json
import logging
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
import zarr
from matplotlib.image import imsave
from numpy.typing import NDArray
from PIL import Image

from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.errors import ConfigError, DatasetNotFoundError
from cuvis_ai.types import Batch


def _cube(seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((6, 7, 4), dtype=np.float32)


def _mask(seed: int) -> NDArray[np.bool_]:
    mask = np.zeros((6, 7), dtype=bool)
    mask.flat[seed] = True
    return mask


def _save(folder: Path, names: str, *, first: int = 0) -> None:
    """Cubes of one letter each; the i-th has the values of seed first + i."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names, start=first):
        np.save(folder / f"{name}.npy", _cube(seed))


def _batches(folder: CubeFolder) -> dict[str, Batch]:
    """Each split as one batch; the empty ones left out."""
    loaders = {
        "train": folder.statistics_dataloader(),
        "val": folder.val_dataloader(),
        "test": folder.test_dataloader(),
    }
    return {split: next(iter(loader)) for split, loader in loaders.items() if len(loader)}


def _names(folder: CubeFolder) -> dict[str, list[str]]:
    return {split: batch["name"] for split, batch in _batches(folder).items()}


def test_splits_are_folders(tmp_path: Path) -> None:
    _save(tmp_path / "train", "ab")
    _save(tmp_path / "test", "a", first=2)
    folder = CubeFolder(tmp_path)
    batches = _batches(folder)
    assert {split: batch["name"] for split, batch in batches.items()} == {
        "train": ["train/a", "train/b"],
        "test": ["test/a"],
    }
    cube = batches["test"]["cube"][0].permute(1, 2, 0)
    np.testing.assert_array_equal(cube, _cube(2))
    assert folder.val_dataloader() == []


@pytest.mark.parametrize("file", ["splits.json", "fold_1.json"])
def test_splits_are_listed_in_a_file(tmp_path: Path, file: str) -> None:
    _save(tmp_path, "abcd")
    (tmp_path / file).write_text(json.dumps({"train": ["d", 0], "val": ["b"]}))
    arguments: dict[str, Any] = {} if file == "splits.json" else {"splits": file}
    assert _names(CubeFolder(tmp_path, **arguments)) == {"train": ["d", "a"], "val": ["b"]}


def test_without_either_the_cubes_are_divided_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path, "abcde")
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        assert _names(CubeFolder(tmp_path)) == {"train": ["a", "b", "c"], "val": ["d"], "test": ["e"]}
    assert "No splits given" in caplog.text


def _save_mask(path: Path, mask: NDArray[np.bool_]) -> None:
    if path.suffix == ".png":
        imsave(path, mask.astype(float), cmap="gray")
    elif path.suffix == ".mat":
        scipy.io.savemat(path, {"mask": mask.astype(np.uint8)})
    else:
        np.save(path, mask)


@pytest.mark.parametrize("suffix", [".png", ".npy", ".mat"])
@pytest.mark.parametrize(
    "pattern", ["train/{}_mask", "train/masks/{}", "train/masks/{}_mask", "masks/train/{}"]
)
def test_masks_lie_beside_the_cubes_or_in_a_masks_folder(tmp_path: Path, pattern: str, suffix: str) -> None:
    _save(tmp_path / "train", "ab")
    for seed, name in enumerate("ab"):
        path = tmp_path / f"{pattern.format(name)}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        _save_mask(path, _mask(seed))
    batch = _batches(CubeFolder(tmp_path))["train"]
    assert batch["name"] == ["train/a", "train/b"]  # masks are no cubes
    np.testing.assert_array_equal(batch["mask"], np.stack([_mask(0), _mask(1)]))


def test_masks_of_an_undivided_folder(tmp_path: Path) -> None:
    _save(tmp_path, "a")
    _save(tmp_path / "masks", "")
    np.save(tmp_path / "masks" / "a.npy", _mask(5))
    np.testing.assert_array_equal(_batches(CubeFolder(tmp_path))["train"]["mask"][0], _mask(5))


def test_classes_of_a_mask_file_can_be_the_anomaly(tmp_path: Path) -> None:
    _save(tmp_path, "a")
    classes = np.arange(42).reshape(6, 7) % 3
    np.save(tmp_path / "a_mask.npy", classes)
    batch = _batches(CubeFolder(tmp_path, anomaly_values=[2]))["train"]
    np.testing.assert_array_equal(batch["mask"][0], classes == 2)


def test_a_mask_in_the_cubes_own_file(tmp_path: Path) -> None:
    for seed, name in enumerate("abc"):
        arrays: dict[str, Any] = {"data": _cube(seed), "map": _mask(seed).astype(np.uint8)}
        scipy.io.savemat(tmp_path / f"{name}.mat", arrays)
    batch = _batches(CubeFolder(tmp_path, key="data", mask_key="map"))["test"]
    np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0), _cube(2))
    np.testing.assert_array_equal(batch["mask"][0], _mask(2))


def _coco(file_names: list[str]) -> str:
    """An annotation of pixel (0, i) in the i-th image."""
    images = [{"id": 10 + i, "file_name": name, "height": 6, "width": 7} for i, name in enumerate(file_names)]
    annotations = [
        {"id": i, "image_id": 10 + i, "category_id": 1, "segmentation": [[i, 0, i + 1, 0, i + 1, 1, i, 1]]}
        for i in range(len(file_names))
    ]
    categories = [{"id": 1, "name": "stone"}]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def test_annotations_beside_the_split_folders_go_by_path(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")
    _save(tmp_path / "train", "ab")
    _save(tmp_path / "test", "a")
    (tmp_path / "coco.json").write_text(_coco(["test/a.npy", "train/a.npy", "b.png"]))
    batches = _batches(CubeFolder(tmp_path))
    assert batches["test"]["mask"].nonzero().tolist() == [[0, 0, 0]]
    assert batches["train"]["mask"].nonzero().tolist() == [[0, 0, 1], [1, 0, 2]]


def test_an_image_that_fits_cubes_of_two_splits_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")
    _save(tmp_path / "train", "ab")
    _save(tmp_path / "test", "a")
    (tmp_path / "coco.json").write_text(_coco(["a.npy"]))
    with pytest.raises(ConfigError, match=r"`a\.npy`, which fits \['train/a', 'test/a'\].*`file_name`"):
        CubeFolder(tmp_path).setup()
    (tmp_path / "coco.json").write_text(_coco(["test/a.npy"]))  # not of train/a
    batches = _batches(CubeFolder(tmp_path))
    assert "mask" not in batches["train"]
    assert batches["test"]["mask"].sum() == 1


def test_annotations_in_a_split_folder_are_its_own(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")
    _save(tmp_path / "train", "a")
    _save(tmp_path / "test", "a")
    (tmp_path / "test" / "coco.json").write_text(_coco(["a.npy"]))
    batches = _batches(CubeFolder(tmp_path))
    assert "mask" not in batches["train"]
    assert batches["test"]["mask"].sum() == 1


def test_a_cube_without_a_mask_counts_as_normal_among_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path / "train", "ab")
    _save(tmp_path / "test", "ab")
    np.save(tmp_path / "test" / "b_mask.npy", _mask(3))
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        batches = _batches(CubeFolder(tmp_path))
    assert "mask" not in batches["train"]
    np.testing.assert_array_equal(batches["test"]["mask"], np.stack([np.zeros((6, 7), dtype=bool), _mask(3)]))
    assert "test: 1 of 2 cubes have no annotation" in caplog.text


def test_a_missing_or_empty_folder_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=f"{tmp_path}/gone.*no such folder"):
        CubeFolder(tmp_path / "gone").setup()
    (tmp_path / "train").mkdir()
    with pytest.raises(DatasetNotFoundError, match=f"expected cubes in {tmp_path}, got none.*SceneTiles"):
        CubeFolder(tmp_path).setup()
    _save(tmp_path / "flat", "a")
    with pytest.raises(DatasetNotFoundError, match=r"`splits`.*fold_2\.json"):
        CubeFolder(tmp_path / "flat", splits="fold_2.json").setup()


def test_two_cubes_of_one_name_are_refused(tmp_path: Path) -> None:
    _save(tmp_path, "a")
    scipy.io.savemat(tmp_path / "a.mat", {"data": _cube(0)})
    with pytest.raises(ConfigError, match=r"\['a'\] more than once.*rename one of two cubes"):
        CubeFolder(tmp_path).setup()


@pytest.mark.parametrize("suffix", [".npy", ".png", ".mat"])
def test_pixels_of_unknown_label_are_invalid(tmp_path: Path, suffix: str) -> None:
    _save(tmp_path, "ab")
    labels = _mask(9).astype(np.uint8)
    labels[0] = 255
    if suffix == ".png":
        Image.fromarray(labels).save(tmp_path / "a_mask.png")
    elif suffix == ".mat":
        scipy.io.savemat(tmp_path / "a_mask.mat", {"mask": labels})
    else:
        np.save(tmp_path / "a_mask.npy", labels)
    cube = _cube(0)
    cube[5, 6] = np.nan
    np.save(tmp_path / "a.npy", cube)
    folder = CubeFolder(tmp_path, ignore_values=[255])
    (batch,) = folder.statistics_dataloader()
    assert (~batch["valid"][0]).nonzero().tolist() == [*([0, column] for column in range(7)), [5, 6]]
    np.testing.assert_array_equal(batch["mask"][0], _mask(9))


def test_anomalous_and_ignored_values_are_different(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CubeFolder: .*got \[2\] in both"):
        CubeFolder(tmp_path, anomaly_values=[1, 2], ignore_values=[2])


def test_the_share_of_anomalies_is_logged_for_every_split(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path, "abcde")
    for name, mask in (("a", _mask(3)), ("b", _mask(4)), ("d", ~_mask(5))):
        np.save(tmp_path / f"{name}_mask.npy", mask)
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        CubeFolder(tmp_path).setup()
    assert "train: 2 of 126 pixels (1.59 %) are anomalies." in caplog.text
    assert "val: 41 of 42 pixels (97.6 %) are anomalies, more than half." in caplog.text
    assert "test:" not in caplog.text
    assert [r.levelname for r in caplog.records if "more than half" in r.message] == ["WARNING"]


def test_pixels_of_unknown_label_are_not_in_the_share(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path, "a")
    labels = _mask(9).astype(np.int16)
    labels[0] = -1
    np.save(tmp_path / "a_mask.npy", labels)
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        CubeFolder(tmp_path, ignore_values=[-1]).setup()
    assert "train: 1 of 35 pixels" in caplog.text


def test_files_of_one_band_are_refused(tmp_path: Path) -> None:
    for band in (1, 2, 10):
        np.save(tmp_path / f"scene_B{band}.npy", np.zeros((6, 7, 1), dtype=np.float32))
    with pytest.raises(
        ConfigError, match=r"cubes of several bands, got files of one band such as .*scene_B1\.npy"
    ):
        CubeFolder(tmp_path).setup()


def test_numbers_in_split_files_are_names_of_numbers(tmp_path: Path) -> None:
    for name in ("1", "2", "10"):
        np.save(tmp_path / f"{name}.npy", _cube(int(name)))
    (tmp_path / "splits.json").write_text(json.dumps({"train": [1, "2"], "val": [10]}))
    assert _names(CubeFolder(tmp_path)) == {"train": ["1", "2"], "val": ["10"]}
    (tmp_path / "splits.json").unlink()
    assert _names(CubeFolder(tmp_path)) == {"train": ["1"], "val": ["2"], "test": ["10"]}


@pytest.mark.parametrize("pattern", ["cb0618f6-{}.png", "upload/{}_rgb.png", "{}.hdr.png"])
def test_images_called_otherwise_reach_their_cubes(
    tmp_path: Path, pattern: str, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("pycocotools", reason="needs pycocotools for COCO annotations")
    _save(tmp_path, "abc")
    (tmp_path / "coco.json").write_text(_coco([pattern.format(name) for name in "abc"]))
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        batches = _batches(CubeFolder(tmp_path))
    found = [batches[split]["mask"].nonzero().tolist() for split in ("train", "val", "test")]
    assert found == [[[0, 0, i]] for i in range(3)]
    assert "3 of 3 annotations used, 0 images without a cube" in caplog.text
    assert f"a has {pattern.format('a')}" in caplog.text


def _h5(path: Path, mask: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("mask", data=mask, chunks=True, compression="gzip", fletcher32=True)


def _tiff(path: Path, mask: np.ndarray) -> None:
    h, w = mask.shape
    with rasterio.open(path, "w", driver="GTiff", height=h, width=w, count=1, dtype="uint8") as file:
        file.write(mask, 1)


MASK_WRITERS = {
    ".npy": np.save,
    ".npz": np.savez_compressed,
    ".mat": lambda path, mask: scipy.io.savemat(path, {"mask": mask}, do_compression=True),
    ".h5": _h5,
    ".tif": _tiff,
    ".png": lambda path, mask: Image.fromarray(mask).save(path),
    ".zarr": lambda path, mask: zarr.create_array(path, data=mask),
}


@pytest.mark.parametrize("suffix", MASK_WRITERS)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_masks_that_cannot_be_decoded_are_skipped(tmp_path: Path, suffix: str) -> None:
    mask = np.random.default_rng(0).integers(0, 2, (40, 50)).astype(np.uint8)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.ones((40, 50, 3), np.float32))
        MASK_WRITERS[suffix](tmp_path / f"{name}_mask{suffix}", mask)
    damaged = tmp_path / f"b_mask{suffix}"
    for file in [damaged] if damaged.is_file() else (damaged / "c").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    folder = CubeFolder(tmp_path, on_error="skip", batch_size=1)
    masks = [batch["mask"][0].numpy() for batch in folder.predict_dataloader()]
    assert folder.skipped == ["b"]
    np.testing.assert_array_equal(masks[0], mask > 0)
    assert not masks[1].any()
