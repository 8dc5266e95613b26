"""ENVI against SPy and GDAL: every number type, byte order and interleave, and which files belong together."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import spectral.io.envi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError
from tests.data.envi_files import AXES, CODES, by_gdal, by_spy, header, raw_bytes, write

FENIX = Path(__file__).parents[3] / "../shared/data/envi/fenix"
V = np.arange(60, dtype=np.int16).reshape(4, 5, 3)
BSQ = raw_bytes(V, "bsq")


def cube_of(kind: str, shape: tuple[int, int, int] = (4, 5, 3)) -> np.ndarray:
    """Return distinct values that use all bytes of the type."""
    n = int(np.prod(shape))
    values = (np.arange(n, dtype=np.uint64) * 0x0103050709) % (1 << 62)
    dtype = np.dtype(kind)
    cast = values.astype(np.float64) if dtype.kind in "fc" else values
    out = cast.astype(dtype).reshape(shape)
    return out + out * np.asarray(1j, dtype) if dtype.kind == "c" else out


@pytest.mark.parametrize("byte_order", [0, 1])
@pytest.mark.parametrize("interleave", AXES)
@pytest.mark.parametrize("kind", CODES)
def test_every_number_type_equals_spy_and_gdal(
    tmp_path: Path, kind: str, interleave: str, byte_order: int
) -> None:
    values = cube_of(kind)
    data = write(
        tmp_path,
        header(values, interleave, byte_order),
        raw_bytes(values, interleave, byte_order),
        "scene.img",
    )
    cube = read_cube(data)
    assert cube.shape == (4, 5, 3)
    assert cube.dtype == np.dtype(kind)
    read = np.asarray(cube.values)
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, values)
    np.testing.assert_array_equal(read, by_spy(data))
    np.testing.assert_array_equal(read, by_gdal(data))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_round_trip_of_any_shape_type_order_and_interleave(tmp_path: Path, draw: st.DataObject) -> None:
    kind = draw.draw(st.sampled_from([kind for kind in CODES if "c" not in kind]))
    shape = draw.draw(hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7))
    values = draw.draw(hnp.arrays(np.dtype(kind), shape))
    interleave = draw.draw(st.sampled_from(list(AXES)))
    byte_order = draw.draw(st.integers(0, 1))
    offset = draw.draw(st.integers(0, 40))
    text = header(values, interleave, byte_order, header_offset=offset)
    data = write(tmp_path, text, bytes(offset) + raw_bytes(values, interleave, byte_order))
    cube = read_cube(draw.draw(st.sampled_from([data, data.with_suffix(".hdr")])))
    np.testing.assert_array_equal(np.asarray(cube.values), values)
    rows, columns = (draw.draw(st.slices(n)) for n in shape[:2])
    bands = draw.draw(st.slices(shape[2]) | st.lists(st.integers(0, shape[2] - 1), min_size=1))
    np.testing.assert_array_equal(cube.values[rows, columns, bands], values[rows, columns][:, :, bands])


def test_file_cut_after_opening_prints_both_sizes(tmp_path: Path) -> None:
    data = write(tmp_path, header(V, "bsq"), BSQ)
    cube = read_cube(data)
    data.write_bytes(BSQ[:50])
    with pytest.raises(CubeFormatError, match="expected 120 bytes, got 50"):
        np.asarray(cube.values)


@pytest.mark.parametrize(
    "name", ["scene", "scene.xyz", "scene.IMG", "scene.2024.cube", "scene.tif", "scene.nc"]
)
@pytest.mark.parametrize("style", ["appended", "replaced", "upper case"])
def test_header_and_data_file_find_each_other(tmp_path: Path, name: str, style: str) -> None:
    data = tmp_path / name
    data.write_bytes(BSQ)
    headers = {
        "appended": data.with_name(f"{name}.hdr"),
        "replaced": data.with_name(f"{data.stem}.hdr"),
        "upper case": data.with_name(f"{data.stem}.HDR"),
    }
    headers[style].write_text(header(V, "bsq"))
    data.with_name("scene.json").write_text("{}")
    for path in (data, headers[style]):
        np.testing.assert_array_equal(np.asarray(read_cube(path).values), V)


@pytest.mark.parametrize("name", ["scene.cube", "scene.xyz"])
def test_of_several_data_files_the_one_of_the_expected_size_counts(tmp_path: Path, name: str) -> None:
    data = write(tmp_path, header(V, "bsq"), BSQ, name)
    (tmp_path / "scene.dat").write_bytes(b"notes")
    np.testing.assert_array_equal(np.asarray(read_cube(data.with_suffix(".hdr")).values), V)


def test_header_without_data_file_says_what_it_looked_for(tmp_path: Path) -> None:
    path = tmp_path / "scene.hdr"
    path.write_text(header(V, "bsq"))
    with pytest.raises(
        DatasetNotFoundError, match="scene with any extension or none and 120 bytes, got none"
    ):
        read_cube(path)


def test_header_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scene.hdr"
    path.write_text("NROWS 4\nNCOLS 5\n")
    with pytest.raises(CubeFormatError, match="expected an ENVI header"):
        read_cube(path)


def test_empty_fields_count_as_absent(tmp_path: Path) -> None:
    cube = read_cube(write(tmp_path, header(V, "bsq", wavelength="{}", bbl="{ }", data_ignore_value=""), BSQ))
    assert (cube.wavelengths, cube.bad_bands, cube.no_data) == (None, None, None)


def test_key_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path, header(V, "bsq"), BSQ)
    with pytest.raises(CubeFormatError, match="Leave key= out"):
        read_cube(data, key="cube")


def test_metadata(tmp_path: Path) -> None:
    text = header(
        V,
        "bsq",
        wavelength="{0.4, 0.5,\n 0.6,}",
        wavelength_units="Micrometers",
        bbl="{1, 0, 1}",
        data_ignore_value="-9999",
        reflectance_scale_factor="10000",
        fwhm="{1, 2}",
    )
    cube = read_cube(write(tmp_path, text, BSQ))
    np.testing.assert_allclose(cube.wavelengths, [400, 500, 600], rtol=1e-15)
    assert cube.bad_bands.tolist() == [False, True, False]
    assert cube.no_data == -9999.0
    np.testing.assert_array_equal(np.asarray(cube.values), V)  # not scaled


def test_nan_as_no_data(tmp_path: Path) -> None:
    cube = read_cube(write(tmp_path, header(V, "bsq", data_ignore_value="NaN"), BSQ))
    assert np.isnan(cube.no_data)


@pytest.mark.parametrize("text", ["-1", "{-1}", "{-1, -1,\n -1}", "-1.0 ; comment"])
def test_no_data_in_braces(tmp_path: Path, text: str) -> None:
    assert read_cube(write(tmp_path, header(V, "bsq", data_ignore_value=text), BSQ)).no_data == -1.0


def test_header_in_latin_1(tmp_path: Path) -> None:
    data = write(tmp_path, "", BSQ)
    text = header(V, "bsq", wavelength="{0.4, 0.5, 0.6}", wavelength_units="µm")
    data.with_suffix(".hdr").write_bytes(text.encode("latin-1"))
    np.testing.assert_allclose(read_cube(data).wavelengths, [400, 500, 600])


def test_absent_metadata_is_none(tmp_path: Path) -> None:
    cube = read_cube(write(tmp_path, header(V, "bsq"), BSQ))
    assert (cube.wavelengths, cube.bad_bands, cube.no_data) == (None, None, None)


@pytest.mark.skipif(not FENIX.exists(), reason=f"the FENIX scan is not at {FENIX}")
@pytest.mark.parametrize("name", ["image.hdr", "image.dat"])
def test_fenix_equals_spy_and_gdal(name: str) -> None:
    cube = read_cube(FENIX / name)
    assert (cube.shape, cube.dtype, cube.no_data) == ((38, 23, 450), np.uint16, 0.0)
    read = np.asarray(cube.values)
    np.testing.assert_array_equal(read, by_spy(FENIX / "image.dat"))
    np.testing.assert_array_equal(read, by_gdal(FENIX / "image.dat"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        centres = spectral.io.envi.open(str(FENIX / "image.hdr")).bands.centers
    np.testing.assert_array_equal(cube.wavelengths, centres)
