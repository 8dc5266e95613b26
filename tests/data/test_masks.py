"""Masks and label images, written by other libraries."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import rasterio
import scipy.io
import scipy.sparse
import spectral.io.envi
import zarr
from numpy.typing import NDArray
from PIL import Image

from cuvis_ai.data.masks import read_labels, read_mask
from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError

SCENES = Path(__file__).parents[2] / "../shared/data/scenes"
LABELS = np.zeros((6, 8), dtype=np.uint8)
LABELS[1:3, 2:5] = 1
LABELS[4, 6:] = 7
SHAPE = LABELS.shape


def png(path: Path) -> None:
    Image.fromarray(LABELS).save(path)


def bit_png(path: Path) -> None:
    Image.fromarray(LABELS > 0).save(path)


def deep_png(path: Path) -> None:
    Image.fromarray(LABELS.astype(np.uint16) * 256).save(path)  # 0 in the low byte


def palette_png(path: Path) -> None:
    picture = Image.fromarray(LABELS, mode="P")
    picture.putpalette([0, 0, 0, 255, 0, 0] + [9, 9, 9] * 6)  # index 0 is black
    picture.save(path)


def colour_png(path: Path) -> None:
    colours = np.zeros((*SHAPE, 4), dtype=np.uint8)
    colours[..., 1] = LABELS
    colours[..., 3] = 255  # opaque everywhere
    Image.fromarray(colours).save(path)


def npy(path: Path) -> None:
    np.save(path, LABELS)


def npz(path: Path) -> None:
    np.savez(path, mask=LABELS, cube=np.zeros((*SHAPE, 3)))


def mat(path: Path) -> None:
    scipy.io.savemat(path, {"map": LABELS.astype(float), "data": np.zeros((*SHAPE, 3)), "other": np.eye(3)})


def mat73(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["map"] = LABELS.T
        file["data"] = np.zeros((3, *SHAPE[::-1]))
        for name in ("map", "data"):
            file[name].attrs["MATLAB_class"] = np.bytes_("double")


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["labels/map"] = LABELS[:, :, None]


def envi(path: Path) -> None:
    spectral.io.envi.save_classification(str(path), LABELS, class_names=[f"class {i}" for i in range(8)])


def tiff(path: Path) -> None:
    with rasterio.open(path, "w", driver="GTiff", height=6, width=8, count=1, dtype="uint8") as file:
        file.write(LABELS, 1)


def zarr_store(path: Path) -> None:
    group = zarr.open_group(path, mode="w")
    group.create_array("map", data=LABELS)
    group.create_array("cube", data=np.zeros((*SHAPE, 3)))


def bands_first(path: Path) -> None:
    zarr.create_array(path, data=LABELS[None], dimension_names=("band", "y", "x"))


FILES = {
    "8 bits.png": png,
    "1 bit.png": bit_png,
    "16 bits.png": deep_png,
    "palette.png": palette_png,
    "colour.PNG": colour_png,
    "mask.npy": npy,
    "mask.npz": npz,
    "mask.mat": mat,
    "mask73.mat": mat73,
    "mask.h5": hdf5,
    "classes.hdr": envi,
    "mask.tif": tiff,
    "mask.zarr": zarr_store,
    "one band first.zarr": bands_first,
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_mask_of_every_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    FILES[name](path)
    mask = read_mask(path, SHAPE)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, LABELS > 0)
    with pytest.raises(CubeFormatError, match=r"a mask .*\(7, 8\)"):
        read_mask(path, (7, 8))


@pytest.mark.parametrize(
    "name", [name for name in FILES if name not in ("1 bit.png", "16 bits.png", "colour.PNG")]
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
def test_labels_are_as_stored_and_can_be_chosen(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    FILES[name](path)
    np.testing.assert_array_equal(read_labels(path, SHAPE), LABELS)
    np.testing.assert_array_equal(read_mask(path, SHAPE, anomalous=[7]), LABELS == 7)
    np.testing.assert_array_equal(read_mask(path, SHAPE, anomalous={0, 7}), LABELS != 1)


@pytest.mark.parametrize("form", ["npy", "npz", "h5", "mat"])
def test_flags_are_a_mask(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"mask.{form}"
    flags = LABELS > 0
    if form == "npy":
        np.save(path, flags)
    elif form == "npz":
        np.savez(path, flags=flags)
    elif form == "mat":
        scipy.io.savemat(path, {"flags": flags})
    else:
        with h5py.File(path, "w") as file:
            file["flags"] = flags
    np.testing.assert_array_equal(read_mask(path, SHAPE), flags)


def test_several_masks_need_a_key(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "masks.mat", {"a": LABELS, "b": LABELS > 1})
    with pytest.raises(CubeFormatError, match=r"`a` \(6, 8\), `b` \(6, 8\)\. Pass key="):
        read_mask(tmp_path / "masks.mat", SHAPE)
    np.testing.assert_array_equal(read_mask(tmp_path / "masks.mat", SHAPE, key="b"), LABELS > 1)


def test_cube_is_no_mask(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.zeros((6, 8, 3)))
    with pytest.raises(CubeFormatError, match=r"expected exactly one array that is a mask \(6, 8\)"):
        read_mask(tmp_path / "cube.npy", SHAPE)


def test_nan_is_no_label(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.where(LABELS == 7, np.nan, 0))
    with pytest.raises(CubeFormatError, match="expected finite labels"):
        read_mask(tmp_path / "mask.npy", SHAPE)


def test_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_bytes(b"no picture")
    with pytest.raises(
        CubeFormatError,
        match="expected a picture in PNG, BMP or GIF, got a file that begins with b'no pictu'",
    ):
        read_mask(tmp_path / "mask.png", SHAPE)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match="expected a mask, got no such file"):
        read_mask(tmp_path / "mask.png", SHAPE)


MARKED = LABELS == 7


@pytest.mark.parametrize(
    "values",
    [
        np.where(MARKED, True, False),
        np.where(MARKED, 255, 0).astype(np.uint8),
        np.where(MARKED, 1.0, 0.0),
        np.where(MARKED, 3, 0).astype(np.int16),
    ],
)
def test_one_value_besides_0_is_the_anomaly(
    tmp_path: Path, values: NDArray[Any], caplog: pytest.LogCaptureFixture
) -> None:
    np.save(tmp_path / "mask.npy", values)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.npy", SHAPE), MARKED)
    assert not caplog.records


@pytest.mark.parametrize("name", ["mask.npy", "8 bits.png", "mask.mat", "classes.hdr"])
def test_several_values_are_all_anomalies_and_logged_once_a_folder(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    FILES[name](tmp_path / name)
    for _ in range(2):
        np.testing.assert_array_equal(read_mask(tmp_path / name, SHAPE), LABELS > 0)
    assert caplog.text.count("the labels 1, 7 are not 0 and all count as anomalies") == 1
    assert "`anomaly_values=" in caplog.text


@pytest.mark.parametrize("values", [[-1, 1], [-1, 0], [-1.5, 0, 2]])
def test_negative_labels_are_refused_unless_chosen(tmp_path: Path, values: list[float]) -> None:
    labels = np.where(MARKED, values[-1], values[0])
    labels[0, :2] = values[1]
    np.save(tmp_path / "mask.npy", labels)
    with pytest.raises(
        CubeFormatError, match=r"mask\.npy: expected labels from 0 on.*got -1.*`anomaly_values"
    ):
        read_mask(tmp_path / "mask.npy", SHAPE)
    np.testing.assert_array_equal(
        read_mask(tmp_path / "mask.npy", SHAPE, anomalous=values[-1:]), labels == values[-1]
    )


@pytest.mark.parametrize("unknown", [255, -1, np.nan, 0])
def test_ignored_values_are_masked_and_no_anomaly(tmp_path: Path, unknown: float) -> None:
    labels = np.where(MARKED, 2.0, 1.0) if unknown == 0 else MARKED.astype(float)
    labels[0] = unknown
    np.save(tmp_path / "mask.npy", labels)
    arguments: dict[str, Any] = {"anomalous": [2]} if unknown == 0 else {}
    mask = read_mask(tmp_path / "mask.npy", SHAPE, ignored=[unknown], **arguments)
    assert isinstance(mask, np.ma.MaskedArray)
    np.testing.assert_array_equal(mask.mask, np.arange(6)[:, None].repeat(8, axis=1) == 0)
    np.testing.assert_array_equal(mask.filled(False), MARKED)


def test_a_value_is_not_anomalous_and_ignored(tmp_path: Path) -> None:
    npy(tmp_path / "mask.npy")
    with pytest.raises(ConfigError, match=r"without a common value, got \[7\] in both"):
        read_mask(tmp_path / "mask.npy", SHAPE, anomalous=[1, 7], ignored=[7])


def test_sparse_matrices_are_masks(tmp_path: Path) -> None:
    sparse = scipy.sparse.csc_matrix(LABELS.astype(float))
    scipy.io.savemat(tmp_path / "mask.mat", {"map": sparse, "data": np.zeros((*SHAPE, 3))})
    scipy.io.savemat(tmp_path / "flags.mat", {"map": sparse > 0})
    for form in ("csr", "coo", "bsr"):
        scipy.sparse.save_npz(tmp_path / f"{form}.npz", sparse.asformat(form))
    with h5py.File(tmp_path / "mask73.mat", "w") as file:
        group = file.create_group("map")
        group.attrs["MATLAB_sparse"] = np.uint64(SHAPE[0])
        for name, part in (("data", sparse.data), ("ir", sparse.indices), ("jc", sparse.indptr)):
            group[name] = part
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(read_mask(path, SHAPE), LABELS > 0, err_msg=path.name)


@pytest.mark.parametrize("key", ["indices", "indptr"])
def test_sparse_matrix_whose_indices_leave_it_is_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "mask.npz"
    scipy.sparse.save_npz(path, scipy.sparse.csr_matrix(LABELS))
    with np.load(path) as archive:
        arrays = dict(archive)
    arrays[key] = arrays[key] + 2**30
    np.savez(path, **arrays)
    with pytest.raises(CubeFormatError, match=r"mask\.npz: expected a file that can be decoded"):
        read_mask(path, SHAPE)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".mat", ".h5", ".tif", ".png"])
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 600, b"PK\3\4", b"\x89HDF\r\n\x1a\n", b"MATLAB 5.0 MAT-file" * 9]
)
def test_damaged_masks_end_in_one_error(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"mask{suffix}"
    path.write_bytes(content)
    with pytest.raises(CubeFormatError, match=f"mask{suffix}: expected "):
        read_mask(path, SHAPE)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(("colours", "clear"), [((0, 9), True), ((9, 0), False), ((9, 8), False)])
def test_palette_of_a_tiff_must_have_black_at_0(
    tmp_path: Path, colours: tuple[int, int], clear: bool
) -> None:
    path, flags = tmp_path / "mask.tif", (LABELS > 0).astype(np.uint8)
    with rasterio.open(path, "w", driver="GTiff", height=6, width=8, count=1, dtype="uint8") as file:
        file.write(flags, 1)
        file.write_colormap(1, {i: (grey, grey, grey) for i, grey in enumerate(colours)})
    np.testing.assert_array_equal(read_mask(path, SHAPE, anomalous=[1]), LABELS > 0)
    if clear:
        np.testing.assert_array_equal(read_mask(path, SHAPE), LABELS > 0)
    else:
        with pytest.raises(CubeFormatError, match="index 0 alone is black"):
            read_mask(path, SHAPE)


@pytest.mark.skipif(not SCENES.exists(), reason=f"the scenes are not at {SCENES}")
@pytest.mark.parametrize(
    ("name", "shape", "n_anomalous"),
    [
        ("abu-airport-4", (100, 100), 60),
        ("abu-urban-2", (100, 100), 155),
        ("hydice-urban-175", (80, 100), 21),
        ("muufl-gulfport-v73", (100, 100), 269),
    ],
)
def test_scenes_have_their_published_anomalies(name: str, shape: tuple[int, int], n_anomalous: int) -> None:
    assert read_mask(SCENES / f"{name}.mat", shape).sum() == n_anomalous
