"""TIFF and GeoTIFF against rasterio and Pillow."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from rasterio.enums import ColorInterp

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.data.masks import read_mask
from cuvis_ai.errors import CubeFormatError

V = np.arange(20 * 18 * 3).reshape(20, 18, 3)
KINDS = ["u1", "i2", "u2", "i4", "u4", "f4", "f8", "c8"]


def write(path: Path, values: np.ndarray, tag: Any = None, **options: Any) -> Path:
    """Write a cube with rasterio; `tag` is called with the open file."""
    h, w, c = values.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(
            path, "w", driver="GTiff", height=h, width=w, count=c, dtype=values.dtype, **options
        ) as file:
            file.write(values.transpose(2, 0, 1))
            if tag is not None:
                tag(file)
    return path


def by_rasterio(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as file:
            return file.read().transpose(1, 2, 0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_equals_rasterio(tmp_path: Path, draw: st.DataObject) -> None:
    values = (V * 1.5).astype(draw.draw(st.sampled_from(KINDS)))
    options = draw.draw(
        st.fixed_dictionaries(
            {
                "interleave": st.sampled_from(["band", "pixel"]),
                "compress": st.sampled_from(["none", "deflate", "lzw"]),
                "ENDIANNESS": st.sampled_from(["LITTLE", "BIG"]),
                "BIGTIFF": st.sampled_from(["YES", "NO"]),
                "tiled": st.booleans(),
            }
        )
    )
    if options["tiled"]:
        options |= {"blockxsize": 16, "blockysize": 16}
    path = write(tmp_path / "cube.tif", values, **options)
    cube = read_cube(path)
    assert (cube.shape, cube.dtype) == (values.shape, values.dtype)
    np.testing.assert_array_equal(np.asarray(cube.values), values)
    np.testing.assert_array_equal(np.asarray(cube.values), by_rasterio(path))
    rows, columns, bands = (draw.draw(st.slices(n)) for n in values.shape)
    np.testing.assert_array_equal(cube.values[rows, columns, bands], values[rows, columns, bands])


def describe_bands(file: Any) -> None:
    for band, text in enumerate(("400.5 nm", "Band 2 (500.5 nm)", "600.5nm"), start=1):
        file.set_band_description(band, text)


def tag_bands(file: Any) -> None:
    for band, value in enumerate((400.5, 500.5, 600.5), start=1):
        file.update_tags(band, wavelength=f"{value}", wavelength_units="Nanometers")


def tag_imagery(file: Any) -> None:
    for band, value in enumerate((0.4005, 0.5005, 0.6005), start=1):
        file.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=f"{value}")


def tag_file(file: Any) -> None:
    file.update_tags(wavelengths="{0.4005, 0.5005, 0.6005}", wavelength_units="Micrometers")


@pytest.mark.parametrize("tag", [describe_bands, tag_bands, tag_imagery, tag_file])
def test_wavelengths(tmp_path: Path, tag: Any) -> None:
    cube = read_cube(write(tmp_path / "cube.tif", V.astype("u2"), tag))
    np.testing.assert_allclose(cube.wavelengths, [400.5, 500.5, 600.5], rtol=1e-12)


def test_band_names_are_no_wavelengths(tmp_path: Path) -> None:
    def name_bands(file: Any) -> None:
        for band, text in enumerate(("1", "Band 2", "B8A"), start=1):
            file.set_band_description(band, text)

    assert read_cube(write(tmp_path / "cube.tif", V.astype("u2"), name_bands)).wavelengths is None


@pytest.mark.parametrize("no_data", [-9999.0, float("nan"), None])
def test_no_data(tmp_path: Path, no_data: float | None) -> None:
    cube = read_cube(write(tmp_path / "cube.tif", V.astype("f4"), nodata=no_data))
    assert (
        cube.no_data == pytest.approx(no_data, nan_ok=True) if no_data is not None else cube.no_data is None
    )


def test_scale_is_not_applied(tmp_path: Path) -> None:
    def scale(file: Any) -> None:
        file.scales = (0.1, 0.1, 0.1)

    cube = read_cube(write(tmp_path / "cube.tif", V.astype("u2"), scale))
    np.testing.assert_array_equal(np.asarray(cube.values), V)


def test_pages_are_bands(tmp_path: Path) -> None:
    path = tmp_path / "stack.tiff"
    pages = [Image.fromarray(V[:, :, band].astype("u2")) for band in range(3)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    cube = read_cube(path)
    assert (cube.shape, cube.dtype) == (V.shape, np.uint16)
    np.testing.assert_array_equal(np.asarray(cube.values), V)
    np.testing.assert_array_equal(cube.values[3:9, 2, 1:], V[3:9, 2, 1:])


def test_pages_have_their_own_wavelengths(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    for band, value in enumerate((450.5, 550.5, 650.5)):

        def describe(file: Any, value: float = value) -> None:
            file.set_band_description(1, f"{value} nm")

        write(
            path, V[:, :, band : band + 1].astype("u2"), describe, APPEND_SUBDATASET="YES" if band else "NO"
        )
    cube = read_cube(path)
    assert cube.shape == V.shape
    np.testing.assert_allclose(cube.wavelengths, [450.5, 550.5, 650.5])


def test_pages_of_several_sizes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "stack.tiff"
    Image.fromarray(V[:, :, 0].astype("u2")).save(
        path, save_all=True, append_images=[Image.fromarray(V[:4, :4, 0].astype("u2"))]
    )
    with pytest.raises(CubeFormatError, match=r"pages of one size.*\(4, 4, 1\), \(20, 18, 1\)"):
        read_cube(path)


def test_reading_warns_of_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "cube.tif", V.astype("u2"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        np.asarray(read_cube(path).values)
    assert not caught


def test_file_that_is_no_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cube.tif"
    path.write_bytes(b"II*\0 and no more")
    with pytest.raises(CubeFormatError, match=r"cube.tif: expected a TIFF file \(16 bytes\)"):
        read_cube(path)


def test_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CubeFormatError, match="Leave key= out"):
        read_cube(write(tmp_path / "cube.tif", V.astype("u2")), key="cube")


@pytest.mark.parametrize("n_pages", [9, 10, 11, 101])
def test_pages_are_bands_in_the_order_of_their_numbers(tmp_path: Path, n_pages: int) -> None:
    path = tmp_path / "stack_2.tif"
    pages = [Image.fromarray(np.full((6, 5), k, np.float32)) for k in range(n_pages)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert read_cube(path).values[3, 2].tolist() == list(range(n_pages))


@pytest.mark.parametrize(
    ("description", "axes", "order"),
    [
        (
            '{"shape": [12, 10, 30]}',
            None,
            (0, 1, 2),
        ),  # as tifffile.imwrite(path, cube) writes it: a page a row
        ('{"shape": [30, 12, 10]}', None, (2, 0, 1)),
        ('{"shape": [12, 30, 10], "axes": "YCX"}', None, (0, 2, 1)),
        ("", "hwc", (0, 1, 2)),
        ("", None, (2, 0, 1)),
    ],
)
def test_a_page_may_be_a_row(
    tmp_path: Path, description: str, axes: str | None, order: tuple[int, int, int]
) -> None:
    cube = np.random.default_rng(0).random((12, 10, 30)).astype("f4")
    tags = ImageFileDirectory_v2()
    tags[270] = description
    pages = [Image.fromarray(page) for page in np.ascontiguousarray(cube.transpose(order))]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], tiffinfo=tags)
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.tif", axes=axes).values), cube)


def flag_bands(file: Any) -> None:
    for band, good in enumerate((1, 0, 1), start=1):
        file.update_tags(band, bbl=str(good))


def flag_bad_bands_only(file: Any) -> None:
    file.update_tags(2, BBL="0")


def flag_file(file: Any) -> None:
    file.update_tags(ns="ENVI", bbl="{1, 0, 1}")


@pytest.mark.parametrize("tag", [flag_bands, flag_bad_bands_only, flag_file])
def test_bad_bands(tmp_path: Path, tag: Any) -> None:
    assert read_cube(write(tmp_path / "cube.tif", V.astype("u2"), tag)).bad_bands.tolist() == [
        False,
        True,
        False,
    ]


def test_flags_that_are_no_numbers_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "cube.tif", V.astype("u2"), lambda file: file.update_tags(1, bbl="bad"))
    assert read_cube(path).bad_bands is None
    assert "expected numbers for `bbl`, got ['bad', '1', '1']" in caplog.text


HOLE = np.zeros((20, 18), dtype=bool)
HOLE[3:7, 2:5] = True


@pytest.mark.parametrize("internal", [True, False])
def test_gdals_masks_are_heard(tmp_path: Path, internal: bool) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = write(tmp_path / "cube.tif", V.astype("u2") + 1, lambda file: file.write_mask(~HOLE))
    assert (tmp_path / "cube.tif.msk").exists() != internal
    np.testing.assert_array_equal(~read_batch(path)["valid"][0].numpy(), HOLE)
    assert read_cube(path).shape == V.shape


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("alpha", [True, False])
def test_alpha_counts_by_colour_interpretation_only(tmp_path: Path, alpha: bool) -> None:
    values = np.dstack([V + 1, np.where(HOLE, 0, 255)]).astype("u2")
    path = tmp_path / "cube.tif"
    with rasterio.open(path, "w", driver="GTiff", height=20, width=18, count=4, dtype="uint16") as file:
        file.colorinterp = [ColorInterp.undefined] * 3 + [
            ColorInterp.alpha if alpha else ColorInterp.undefined
        ]
        file.write(values.transpose(2, 0, 1))
    batch = read_batch(path)
    assert batch["cube"].shape[1] == (3 if alpha else 4)
    if alpha:
        np.testing.assert_array_equal(~batch["valid"][0].numpy(), HOLE)
        np.testing.assert_array_equal(np.asarray(read_cube(path).values[2:9, 1:, 1:]), values[2:9, 1:, 1:3])
    else:
        assert "valid" not in batch


# Files that reach for others.


def by_reference(path: Path, source: Path, n_bands: int) -> Path:
    """Write GDAL's virtual format: a text that names where the pixels are."""
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{band}"><SimpleSource><SourceFilename>{source}</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>"
        for band in range(1, n_bands + 1)
    )
    masked = '<Metadata><MDI key="INTERNAL_MASK_FLAGS_1">2</MDI></Metadata>'
    path.write_text(f'<VRTDataset rasterXSize="18" rasterYSize="20">{masked}{bands}</VRTDataset>')
    return path


def test_a_text_that_names_other_files_is_no_tiff(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.tif", V.astype("u2"))
    with pytest.raises(CubeFormatError, match=r"cube\.tif: expected a TIFF file"):
        read_cube(by_reference(tmp_path / "cube.tif", secret, 3))
    with pytest.raises(CubeFormatError, match=r"mask\.tif: expected a TIFF file"):
        read_mask(by_reference(tmp_path / "mask.tif", secret, 1), (20, 18))


@pytest.mark.parametrize("page", ["GTIFF_DIR:1:{}", "{}", "/vsizip/{}", "GTIFF_DIR:off:8:{}"])
def test_pages_of_other_files_are_refused(page: str, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.tif", V[..., :1].astype("u2"))

    def tag(file: Any) -> None:
        file.update_tags(ns="SUBDATASETS", SUBDATASET_1_NAME=page.format(secret), SUBDATASET_1_DESC="page")

    with pytest.raises(CubeFormatError, match="expected pages inside the file"):
        read_cube(write(tmp_path / "cube.tif", V[..., :1].astype("u2"), tag))


@pytest.mark.parametrize("ending", [".msk", ".ovr", ".MSK"])
def test_masks_beside_the_file_have_to_be_tiff(ending: str, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.tif", V[..., :1].astype("u2"))
    write(tmp_path / "cube.tif", V.astype("u2"))
    by_reference(tmp_path / f"cube.tif{ending}", secret, 1)
    with pytest.raises(CubeFormatError, match=rf"cube\.tif: expected a TIFF as cube\.tif\{ending} beside it"):
        read_cube(tmp_path / "cube.tif")
