"""ENVI headers as people have them: each reads as SPy and GDAL read it, or is refused with the reason."""

import logging
import re
import time
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import CubeFormatError
from tests.data.envi_files import by_gdal, by_spy, header, raw_bytes, write

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
    "comment with braces": (header(V, "bsq", wavelength="{400,\n; was {1, 2}\n500, 600}", **NM), BSQ),
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


OPTIONAL = {
    "brace not closed": ("wavelength = {400, 500\nfile type = ENVI Standard", "for `wavelength`"),
    "wavelength no number": ("wavelength = {400, x, 600}", "numbers for `wavelength`"),
    "units within": ("wavelength = {400 nm, 500 nm, 600 nm}", "numbers for `wavelength`"),
    "wavelength not finite": ("wavelength units = nm\nwavelength = {400, nan, 600}", "finite wavelengths"),
    "too few wavelengths": ("wavelength = {400, 500}", "expected 3 wavelengths.*got 2"),
    "too many bad-band flags": ("bbl = {1,1,1,0}", "expected 3 bad-band flags.*got 4"),
    "flags in words": ("bbl = {good, bad, good}", "numbers for `bbl`"),
    "no-data value no number": ("data ignore value = none", "numbers for `data ignore value`"),
    "several no-data values": ("data ignore value = {0, 1, 0}", "expected one number for `data ign"),
}


@pytest.mark.parametrize("row", OPTIONAL)
def test_faulty_optional_field_is_left_out_with_a_warning(
    tmp_path: Path, row: str, caplog: pytest.LogCaptureFixture
) -> None:
    line, message = OPTIONAL[row]
    cube = read_cube(write(tmp_path, header(V, "bsq") + line + "\n", BSQ))
    np.testing.assert_array_equal(np.asarray(cube.values), V)
    assert (cube.wavelengths, cube.bad_bands, cube.no_data) == (None, None, None)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert re.search(message, record.getMessage())


@pytest.mark.parametrize(
    "text", [" " * 3200, "\t" * 3200 + "=", "a = {" * 3200, "=\n" * 3200, "a" * 3200, "a =\n" * 3200]
)
def test_a_header_is_parsed_in_time_linear_in_its_size(tmp_path: Path, text: str) -> None:
    data = write(tmp_path, header(V, "bsq") + text * 20, BSQ)
    start = time.process_time()
    np.testing.assert_array_equal(np.asarray(read_cube(data).values), V)
    assert time.process_time() - start < 1


def test_underscores_in_names_of_fields_are_blanks(tmp_path: Path) -> None:
    fields = {"wavelength": "{0.4, 0.5, 0.6}", "wavelength units": "um", "data ignore value": -9}
    text = header(V, "bsq", 1, header_offset=7, **fields)
    names = [line.partition(" = ")[0] for line in text.splitlines() if " = " in line]
    for name in names:
        text = text.replace(f"\n{name} =", f"\n{name.replace(' ', '_')} =")
    assert "data_ignore_value = -9" in text
    cube = read_cube(write(tmp_path, text, b"1234567" + raw_bytes(V, "bsq", 1)).with_suffix(".hdr"))
    np.testing.assert_array_equal(cube.values, V)
    np.testing.assert_allclose(cube.wavelengths, [400, 500, 600])
    assert cube.validity.no_data == (-9,)


def test_a_name_with_blanks_is_preferred_to_one_with_underscores(tmp_path: Path) -> None:
    for changes in (
        "data ignore value = 1\ndata_ignore_value = 2\n",
        "data_ignore_value = 2\ndata ignore value = 1\n",
    ):
        data = write(tmp_path, header(V, "bsq") + changes, BSQ)
        assert read_cube(data.with_suffix(".hdr")).validity.no_data == (1,)


def test_longer_file_is_logged_with_both_sizes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = write(tmp_path, header(V, "bsq"), BSQ + b"1234")
    with caplog.at_level(logging.WARNING):
        read_cube(data)
    assert "expected 120 bytes" in caplog.text
    assert "got 124" in caplog.text
