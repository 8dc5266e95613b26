"""ENVI against SPy and GDAL: every number type, order and interleave, and headers as people have them."""

import contextlib
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import spectral.io.envi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError

FENIX = Path(__file__).parents[2] / "../shared/data/envi/fenix"
CODES = {
    "u1": 1,
    "i2": 2,
    "i4": 3,
    "f4": 4,
    "f8": 5,
    "c8": 6,
    "c16": 9,
    "u2": 12,
    "u4": 13,
    "i8": 14,
    "u8": 15,
}
AXES = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}


def raw_bytes(values: np.ndarray, interleave: str, byte_order: int = 0) -> bytes:
    """Return the values as ENVI's definition of the interleave lays them out."""
    kind = values.dtype.newbyteorder("<>"[byte_order])
    return values.transpose(AXES[interleave]).astype(kind).tobytes()


def header(values: np.ndarray, interleave: str, byte_order: int = 0, /, **changes: Any) -> str:
    """Return a header; None takes a field out, underscores stand for blanks."""
    h, w, c = values.shape
    fields = {
        "samples": w,
        "lines": h,
        "bands": c,
        "header offset": 0,
        "data type": CODES[values.dtype.str[1:]],
        "interleave": interleave,
        "byte order": byte_order,
    } | {name.replace("_", " "): value for name, value in changes.items()}
    return "ENVI\n" + "".join(f"{name} = {value}\n" for name, value in fields.items() if value is not None)


def write(folder: Path, text: str, content: bytes, name: str = "scene.dat") -> Path:
    data = folder / name
    data.write_bytes(content)
    data.with_suffix(".hdr").write_text(text)
    return data


def by_spy(data: Path) -> np.ndarray | None:
    """Return SPy's reading without its scaling; None if it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = spectral.io.envi.open(str(data.with_suffix(".hdr")), str(data))
        except (spectral.io.envi.EnviException, ValueError, KeyError):
            return None
        image.scale_factor = 1
        return np.array(image.read_subregion((0, image.nrows), (0, image.ncols)))


def by_gdal(data: Path) -> np.ndarray | None:
    """Return GDAL's reading; None if it refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(rasterio.errors.RasterioIOError), rasterio.open(data) as image:
            return image.read().transpose(1, 2, 0)
    return None


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


NM = {"wavelength units": "nm"}
V = np.arange(60, dtype=np.int16).reshape(4, 5, 3)
U = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
BSQ = raw_bytes(V, "bsq")

TORTURE = {
    "plain": (header(V, "bsq"), BSQ),
    "byte order missing": (header(V, "bsq", byte_order=None), BSQ),
    "offset missing": (header(V, "bsq", header_offset=None), BSQ),
    "interleave in capitals": (header(V, "BIL"), raw_bytes(V, "bil")),
    "interleave in mixed case": (header(V, "Bip"), raw_bytes(V, "bip")),
    "comment lines": (header(V, "bsq") + "; samples = 9\n  ; lines = 9\n", BSQ),
    "comment behind a value": (header(V, "bsq", lines="4 ; rows"), BSQ),
    "comment within braces": (header(V, "bsq", wavelength="{400,\n; 1, 2, 3\n500, 600}", **NM), BSQ),
    "line breaks within braces": (header(V, "bsq", wavelength="{\n400,\n500\n, 600\n}", **NM), BSQ),
    "brace on the next line": (header(V, "bsq", wavelength="\n{400, 500, 600}", **NM), BSQ),
    "fields within a description": (header(V, "bsq", description="{a\nsamples = 9\n lines = 9}"), BSQ),
    "upper-case keys": (header(V, "bsq").upper(), BSQ),
    "tabs and no blanks": (header(V, "bsq").replace(" = ", "\t="), BSQ),
    "indented": (header(V, "bsq").replace("\n", "\n   "), BSQ),
    "Windows line ends": (header(V, "bsq").replace("\n", "\r\n"), BSQ),
    "byte-order mark": ("\ufeff" + header(V, "bsq"), BSQ),
    "a field given twice": ("ENVI\nlines = 99\n" + header(V, "bsq")[5:], BSQ),
    "empty lines": (header(V, "bsq").replace("\n", "\n\n"), BSQ),
    "offset": (header(V, "bsq", header_offset=7), b"1234567" + BSQ),
    "longer than it says": (header(V, "bsq"), BSQ + b"more"),
    "BIL with uint8": (header(U, "bil"), raw_bytes(U, "bil")),
    "type with a zero in front": (header(V, "bsq", data_type="02"), BSQ),
}


@pytest.mark.parametrize("row", TORTURE)
def test_header_reads_as_spy_and_gdal_read_it(tmp_path: Path, row: str) -> None:
    text, content = TORTURE[row]
    data = write(tmp_path, text, content)
    read = np.asarray(read_cube(data.with_suffix(".hdr")).values)
    others = [
        other
        for other in (by_spy(data), by_gdal(data))
        if other is not None and row != "interleave in mixed case"
    ]
    np.testing.assert_array_equal(read, V)
    assert all(np.array_equal(read, other) for other in others)
    assert others or row in ("byte-order mark", "interleave in mixed case")


SIZES = {
    "file shorter": (header(V, "bsq"), BSQ[:-10], 120, 110),
    "file empty": (header(V, "bsq"), b"", 120, 0),
    "offset too large": (header(V, "bsq", header_offset=1), BSQ, 121, 120),
    "more lines than there are": (header(V, "bil", lines=5), BSQ, 150, 120),
    "wider type than stored": (header(V, "bip", data_type=4), BSQ, 240, 120),
    "interleave unknown": (header(V, "bsp"), BSQ, 120, 120),
    "interleave missing": (header(V, "bsq", interleave=None), BSQ, 120, 120),
}


@pytest.mark.parametrize("row", SIZES)
def test_header_that_does_not_fit_prints_expected_and_actual_bytes(tmp_path: Path, row: str) -> None:
    text, content, expected, actual = SIZES[row]
    data = write(tmp_path, text, content)
    with pytest.raises(CubeFormatError, match=rf"expected {expected} bytes \(.*\), got {actual}\b"):
        read_cube(data)


FAULTS = {
    "lines missing": (header(V, "bsq", lines=None), "expected a field `lines`"),
    "lines no number": (header(V, "bsq", lines="four"), "expected a number for `lines`, got 'four'"),
    "lines negative": (header(V, "bsq", lines=-4), "`lines` to be an integer from 1 on, got -4"),
    "type unknown": (header(V, "bsq", data_type=7), r"`data type` to be one of 1 \(uint8\).*got 7"),
    "byte order unknown": (header(V, "bsq", byte_order=2), "`byte order` 0 .* got 2"),
    "brace not closed": (header(V, "bsq", wavelength="{400, 500"), "closing brace for `wavelength`"),
    "wavelength no number": (header(V, "bsq", wavelength="{400, x, 600}"), "numbers for `wavelength`"),
    "too few wavelengths": (header(V, "bsq", wavelength="{400, 500}"), "expected 3 wavelengths.*got 2"),
    "too many bad-band flags": (header(V, "bsq", bbl="{1,1,1,0}"), "expected 3 bad-band flags.*got 4"),
    "several no-data values": (
        header(V, "bsq", data_ignore_value="{0, 1, 0}"),
        "expected one number for `data ign",
    ),
    "compressed": (header(V, "bsq", file_compression=1), "plain data file"),
    "frame offsets": (header(V, "bsq", major_frame_offsets="{4, 0}"), "plain data file"),
    "spectral library": (header(V, "bsq", file_type="ENVI Spectral Library"), "spectral library"),
}


@pytest.mark.parametrize("row", FAULTS)
def test_faulty_header_is_refused_by_name(tmp_path: Path, row: str) -> None:
    text, message = FAULTS[row]
    data = write(tmp_path, text, BSQ)
    with pytest.raises(CubeFormatError, match=message) as refusal:
        read_cube(data)
    assert str(data.with_suffix(".hdr")) in str(refusal.value) or str(data) in str(refusal.value)


def test_longer_file_is_logged_with_both_sizes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = write(tmp_path, header(V, "bsq"), BSQ + b"1234")
    with caplog.at_level(logging.WARNING):
        read_cube(data)
    assert "expected 120 bytes" in caplog.text
    assert "got 124" in caplog.text


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


def test_of_several_data_files_the_one_of_the_expected_size_counts(tmp_path: Path) -> None:
    data = write(tmp_path, header(V, "bsq"), BSQ, "scene.cube")
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
