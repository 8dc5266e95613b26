"""The converter from sessions to ENVI, read back by SPy and by the project."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import spectral.io.envi

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.session_conversion import convert
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError
from tests.data import fake_cuvis

ROOT = Path(__file__).parents[2]
CUBES = np.arange(2 * 4 * 5 * 3).reshape(2, 4, 5, 3)
WAVELENGTHS = [450, 550, 650]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "cuvis", fake_cuvis)
    path = tmp_path / "tray.cu3s"
    fake_cuvis.write_session(path, CUBES.astype(np.uint16), WAVELENGTHS)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_cubes_and_wavelengths_survive(session: Path, tmp_path: Path, dtype: str) -> None:
    fake_cuvis.write_session(session, CUBES.astype(dtype), WAVELENGTHS)
    headers = convert(session, tmp_path / "out" / "envi")
    assert [header.name for header in headers] == ["tray_0000.hdr", "tray_0001.hdr"]
    for header, values in zip(headers, CUBES, strict=True):
        image = spectral.io.envi.open(str(header))
        np.testing.assert_array_equal(np.array(image.open_memmap()), values)
        assert image.bands.centers == WAVELENGTHS
        cube = read_cube(header)
        assert cube.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(np.asarray(cube.values), values)
        np.testing.assert_array_equal(cube.wavelengths, WAVELENGTHS)


def test_session_without_wavelengths(session: Path, tmp_path: Path) -> None:
    fake_cuvis.write_session(session, CUBES.astype(np.uint16))
    assert read_cube(convert(session, tmp_path / "out")[0]).wavelengths is None


def test_what_is_there_is_not_overwritten(session: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(session, out)
    (out / "tray_0000.hdr").unlink()
    (out / "tray_0000.img").unlink()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    with pytest.raises(FileExistsError, match=r"tray_0001\.hdr"):
        convert(session, out)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_missing_session(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"expected a \.cu3s session, got no such file"):
        convert(tmp_path / "nowhere.cu3s", tmp_path / "out")


def test_a_cube_of_another_format_is_no_session(tmp_path: Path) -> None:
    (tmp_path / "a.hdr").write_text("ENVI\n")
    with pytest.raises(CubeFormatError, match=r"expected a \.cu3s session, got another file"):
        convert(tmp_path / "a.hdr", tmp_path / "out")


def test_it_needs_no_more_than_numpy_and_cuvis(session: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "cuvis.py").write_text(Path(fake_cuvis.__file__).read_text())
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        for name in ("torch", "lightning", "scipy", "spectral", "jaxtyping", "hydra", "h5py", "rasterio", "zarr"):
            sys.modules[name] = None  # importing it is an ImportError
        from cuvis_ai.data.session_conversion import convert
        print(len(convert(Path(sys.argv[1]), Path(sys.argv[2]))))
        """
    )
    path = os.pathsep.join([str(site), str(ROOT)])
    run = subprocess.run(
        [sys.executable, "-c", program, str(session), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (run.returncode, run.stdout.strip()) == (0, "2"), run.stderr
