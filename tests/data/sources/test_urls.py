"""Cubes by URL, from a server on the loopback address; and where only a path will do."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import rasterio
import zarr

from cuvis_ai.cli import show
from cuvis_ai.data.cube import Cube, read_cube
from cuvis_ai.data.masks import read_labels, read_mask
from cuvis_ai.data.sources.urls import url_of
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError
from cuvis_ai.pipeline.prediction.scene_files import find_scenes
from tests.data.served import Refusing, Served, WithRanges, serving

VALUES = np.random.default_rng(0).normal(size=(6, 5, 4)).astype("f4")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Return the address of a server of a folder that holds a store, `scene.zarr`, in chunks of 2 rows."""
    array = zarr.create_array(tmp_path / "scene.zarr", shape=VALUES.shape, chunks=(2, 5, 4), dtype="f4")
    array[:] = VALUES
    array.attrs["wavelength"] = [450.0, 550.0, 650.0, 750.0]
    array.attrs["wavelength_units"] = "nm"
    with serving(tmp_path) as address:
        yield address


def test_a_zarr_store_is_read_by_url_block_by_block(server: str) -> None:
    cube = read_cube(f"{server}/scene.zarr")
    assert cube.shape == VALUES.shape
    assert np.array_equal(cube.wavelengths, [450, 550, 650, 750])
    Served.asked.clear()
    assert np.array_equal(cube.values[3:4], VALUES[3:4])
    assert [path for path in Served.asked if "/c/" in path] == ["/scene.zarr/c/1/0/0"]
    assert np.array_equal(cube.values[:], VALUES)


def test_names_with_blanks_and_schemes_in_capitals_are_urls(server: str, tmp_path: Path) -> None:
    (tmp_path / "scene.zarr").rename(tmp_path / "my scene.zarr")
    for url in (f"{server}/my scene.zarr", f"{server}/my%20scene.zarr".replace("http", "HTTP")):
        assert np.array_equal(read_cube(url).values[:], VALUES)


def test_a_store_that_is_not_there_names_the_url(server: str) -> None:
    with pytest.raises(
        DatasetNotFoundError, match=rf"^{server}/missing\.zarr: expected a zarr store.*Correct the URL"
    ):
        read_cube(f"{server}/missing.zarr")


def test_a_store_that_the_server_refuses_is_not_called_damaged(tmp_path: Path) -> None:
    with (
        serving(tmp_path, Refusing) as server,
        pytest.raises(
            DatasetNotFoundError, match=r"scene\.zarr: expected a zarr store, got: 403.*Correct the URL"
        ),
    ):
        read_cube(f"{server}/scene.zarr")


BANDS = np.random.default_rng(1).integers(0, 9000, (96, 80, 200)).astype("i2")
"""3 MB, of which a window needs less than a third."""
BANDS[4, 5] = -9
GRID = (2.0, 0.0, 500000.0, 0.0, -2.0, 4600000.0)


@pytest.fixture
def tiff(tmp_path: Path) -> Path:
    """Return a GeoTIFF in tiles, with no-data value and position, whose neighbours are no TIFFs."""
    path = tmp_path / "scene.tif"
    h, w, c = BANDS.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=h, width=w, count=c, dtype="int16", nodata=-9, crs="EPSG:32633",
        transform=rasterio.Affine(*GRID), tiled=True, blockxsize=16, blockysize=16, interleave="pixel",
    ) as file:  # fmt: skip
        file.write(BANDS.transpose(2, 0, 1))
        for band in range(1, c + 1):
            file.update_tags(band, wavelength=str(400 + band), wavelength_units="nm")
    (tmp_path / "scene.tif.msk").write_bytes(b"no TIFF")
    (tmp_path / "scene.tif.aux.xml").write_text("<PAMDataset/>")
    return path


def assert_is_the_scene(cube: Cube) -> None:
    assert cube.shape == BANDS.shape
    assert cube.dtype == np.int16
    assert cube.validity.no_data == (-9,)
    assert cube.georeference is not None
    assert cube.georeference.transform == GRID
    assert rasterio.crs.CRS.from_user_input(cube.georeference.crs).to_epsg() == 32633
    assert np.array_equal(cube.wavelengths, 401 + np.arange(200))
    assert np.array_equal(cube.values[:], BANDS)


def test_a_tiff_is_read_by_url_in_ranges_and_nothing_beside_it(tiff: Path) -> None:
    with serving(tiff.parent, WithRanges) as address:
        cube = read_cube(f"{address}/scene.tif")
        assert np.array_equal(cube.values[3:7, 2:9], BANDS[3:7, 2:9])
        assert sum(Served.n_sent) < tiff.stat().st_size
        assert_is_the_scene(cube)
        assert_is_the_scene(pickle.loads(pickle.dumps(cube)))
    assert set(Served.asked) == {"/scene.tif"}


def test_a_server_without_ranges_sends_a_tiff_whole_once_a_cube(tiff: Path) -> None:
    with serving(tiff.parent) as address:
        cube = read_cube(f"{address}/scene.tif?token=1")
        n_answers = len(Served.n_sent)
        assert_is_the_scene(cube)
        assert len(Served.n_sent) == n_answers


def test_a_tiff_is_read_from_other_file_systems(tiff: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/cuvis/scene.tif", tiff.read_bytes())
    assert_is_the_scene(read_cube("memory://cuvis/scene.tif"))


def test_a_mask_is_read_by_url(tmp_path: Path) -> None:
    mask = np.zeros((6, 5), "u1")
    mask[2, 3] = 1
    where = {"driver": "GTiff", "height": 6, "width": 5, "count": 1, "dtype": "uint8"}
    where["transform"] = rasterio.Affine(*GRID)
    for name, black in (("mask.tif", 0), ("swapped.tif", 1)):
        with rasterio.open(tmp_path / name, "w", **where) as file:
            file.write(mask, 1)
            file.write_colormap(1, {index: (0, 0, 0) if index == black else (9, 9, 9) for index in (0, 1)})
    with serving(tmp_path, WithRanges) as address:
        assert np.array_equal(read_mask(f"{address}/mask.tif", (6, 5)), mask == 1)
        assert np.array_equal(read_labels(f"{address}/mask.tif", (6, 5)), mask)
        with pytest.raises(CubeFormatError, match=rf"^{address}/swapped.tif: expected a palette"):
            read_mask(f"{address}/swapped.tif", (6, 5))
        with pytest.raises(
            CubeFormatError, match=rf"^{address}/mask.tif: expected a mask of the cube's size"
        ):
            read_mask(f"{address}/mask.tif", (5, 6))
        with pytest.raises(DatasetNotFoundError, match=rf"^{address}/missing.tif: expected a file"):
            read_mask(f"{address}/missing.tif", (6, 5))


def test_a_tiff_that_cannot_be_read_names_the_url(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("no TIFF")
    (tmp_path / "empty.tif").touch()
    where = {"driver": "GTiff", "height": 2, "width": 2, "count": 1, "dtype": "uint8"}
    where["transform"] = rasterio.Affine(*GRID)
    for page in range(2):
        with rasterio.open(
            tmp_path / "pages.tif", "w", APPEND_SUBDATASET="YES" if page else "NO", **where
        ) as file:
            file.write(np.ones((1, 2, 2), "u1"))
    with serving(tmp_path, WithRanges) as address:
        for name, error, said in (
            ("missing.tif", DatasetNotFoundError, "expected a file"),
            ("text.tif", CubeFormatError, r"expected a TIFF file \(7 bytes\)"),
            ("empty.tif", CubeFormatError, r"expected a TIFF file \(0 bytes\)"),
            ("pages.tif", CubeFormatError, "expected one image of all bands, got 2 pages"),
        ):
            with pytest.raises(error, match=rf"^{address}/{name}: {said}"):
                read_cube(f"{address}/{name}")
    with pytest.raises(
        DatasetNotFoundError,
        match=rf"^{address}/text.tif: expected a file, got .*Cannot connect.* Correct the URL",
    ):
        read_cube(f"{address}/text.tif")  # the server is gone
    with pytest.raises(
        DatasetNotFoundError, match=r"^nothing://a/b.tif: expected a file.*Protocol not known"
    ):
        read_cube("nothing://a/b.tif")


def test_a_connection_that_is_lost_while_reading_is_no_damaged_file(tiff: Path) -> None:
    with serving(tiff.parent, WithRanges) as address:
        cube = read_cube(f"{address}/scene.tif")
    with pytest.raises(
        DatasetNotFoundError, match=rf"^{address}/scene.tif: expected a file, got .*Cannot connect"
    ):
        cube.values[:]


def test_a_server_that_refuses_is_named(tiff: Path) -> None:
    with (
        serving(tiff.parent, Refusing) as address,
        pytest.raises(
            DatasetNotFoundError,
            match=rf"^{address}/scene.tif: expected a file, got ClientResponseError: 403, .* Correct the URL",
        ),
    ):
        read_cube(f"{address}/scene.tif")


def test_show_takes_a_url(tiff: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(tiff.parent, WithRanges) as address:
        show.run([f"{address}/scene.tif"])
    assert "size: 96 rows, 80 columns, 200 bands" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["scene.hdr", "scene", "scene.npy?download=1"])
def test_other_formats_say_that_they_are_read_locally(name: str) -> None:
    with pytest.raises(
        CubeFormatError, match=r"^https://x\.invalid/scene.* ends in \.tif, \.tiff, \.zarr.* Copy the file"
    ):
        read_cube(f"https://x.invalid/{name}")


def test_masks_and_scenes_of_commands_say_that_they_are_local() -> None:
    with pytest.raises(CubeFormatError, match=r"^s3://b/a\.npy: expected a mask as a local path"):
        read_mask("s3://b/a.npy", (2, 2))
    with pytest.raises(CubeFormatError, match=r"^s3://b/a\.zarr: expected a scene as a local path"):
        find_scenes(["scene.hdr", "s3://b/a.zarr"])


@pytest.mark.parametrize(
    ("path", "is_url"),
    [
        ("https://a/b.zarr", True), ("s3://a/b", True), ("simplecache::https://a/b.zarr", True),
        ("a/b.zarr", False), ("C:\\a", False), ("a://", False), (Path("https://a/b.zarr"), False),
    ],
)  # fmt: skip
def test_what_is_a_url(path: str | Path, is_url: bool) -> None:
    """A `Path` never is: those that files and folders name are such."""
    assert (url_of(path) is not None) is is_url
