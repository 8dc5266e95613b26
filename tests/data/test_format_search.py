"""Formats are found by walking their package, and each has its row."""

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data import formats
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.data.format_search import FORMATS, format_of
from cuvis_ai.data.sources.cube_format import CubeFormat
from tests.data import fake_cuvis
from tests.data.formats.cases import CASES, Case

V = np.arange(60, dtype=np.uint16).reshape(4, 5, 3)


def _declared(case: Case) -> CubeFormat:
    found: CubeFormat = importlib.import_module(f"{formats.__name__}.{case.format}").FORMAT
    return found


def test_every_format_has_a_row() -> None:
    modules = [module.name for module in pkgutil.walk_packages(formats.__path__)]
    assert sorted(case.format for case in CASES) == sorted(modules)
    assert len(FORMATS) == len(modules)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.format)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_row_is_read_alone_and_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setitem(sys.modules, "cuvis", fake_cuvis)
    path = tmp_path / case.file
    values = V.astype(case.dtype)
    case.write(path, values)
    declared = _declared(case)
    assert format_of(path) is declared
    cube = read_cube(path)
    assert cube.dtype == values.dtype
    np.testing.assert_array_equal(np.asarray(cube.values), values)
    np.testing.assert_array_equal(cube.values[1:3, 2, [0, 2]], values[1:3, 2, [0, 2]])
    if path.suffix in declared.suffixes:
        (batch,) = CubeFolder(tmp_path).statistics_dataloader()
        np.testing.assert_array_equal(batch["cube"][0].permute(1, 2, 0), values)
    else:
        assert path.suffix in declared.other_suffixes


@pytest.mark.parametrize(
    "case", [case for case in CASES if _declared(case).signatures], ids=lambda c: c.format
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_first_bytes_count_more_than_the_ending(tmp_path: Path, case: Case) -> None:
    case.write(tmp_path / case.file, V.astype(case.dtype))
    renamed = (tmp_path / case.file).rename(tmp_path / "cube.xyz")
    assert format_of(renamed) is _declared(case)


OTHERS = [*(case for case in CASES if case.format not in ("envi", "cu3s")), Case("npy", "cube.npz", np.savez)]


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.file)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_a_file_beside_an_envi_header_of_its_name_is_not_its_data(tmp_path: Path, case: Case) -> None:
    envi = next(one for one in CASES if one.format == "envi")
    envi.write(tmp_path / "cube.hdr", V + 1)
    case.write(tmp_path / case.file, V.astype(case.dtype))
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / case.file).values), V)
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "cube.hdr").values), V + 1)


def test_no_two_formats_share_an_ending() -> None:
    endings = [suffix for one in FORMATS for suffix in (*one.suffixes, *one.other_suffixes)]
    assert len(set(endings)) == len(endings)


def test_searching_formats_imports_no_optional_package() -> None:
    program = "import sys, cuvis_ai.data.format_search; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"h5py", "rasterio", "zarr", "scipy", "cuvis", "torch"} & set(run.stdout.split())
