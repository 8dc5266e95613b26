"""What a cube says of itself, in words and as a table in a notebook."""

from pathlib import Path

import numpy as np

from cuvis_ai.data.cube import read_cube
from tests.data.files import write_envi


def test_a_notebook_shows_the_header_as_text_and_reads_no_pixel(tmp_path: Path) -> None:
    cube = np.zeros((20, 10, 3), "i2")
    write_envi(tmp_path / "a&b.hdr", cube, wavelength="{400, 500, 600}", wavelength_units="nm")
    shown = read_cube(tmp_path / "a&b.hdr")
    (tmp_path / "a&b.dat").unlink(missing_ok=True)
    html = shown._repr_html_()
    assert "<b>Cube a&amp;b.hdr</b>" in html
    assert ">20 rows, 10 columns, 3 bands</td>" in html
    assert ">[400, 500, 600] nm</td>" in html
    assert len(html) < 5000
    assert dict(shown.facts())["bad bands"] == "not stated"
