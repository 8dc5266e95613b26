"""`.npy` and `.npz` against NumPy."""

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.sources.axes import ORDERS
from cuvis_ai.errors import CubeFormatError

V = np.arange(60, dtype=np.float32).reshape(4, 5, 3)
NUMBERS = (
    hnp.integer_dtypes(endianness="?")
    | hnp.unsigned_integer_dtypes(endianness="?")
    | hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64))
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
@pytest.mark.parametrize("form", ["npy", "npz", "npz compressed"])
def test_round_trip(tmp_path: Path, form: str, draw: st.DataObject) -> None:
    shape = draw.draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
    values = draw.draw(hnp.arrays(draw.draw(NUMBERS), shape))
    laid_out = np.asarray(values, order=draw.draw(st.sampled_from("CF")))
    path = tmp_path / f"cube.{form[:3]}"
    if form == "npy":
        np.save(path, laid_out)
    else:
        (np.savez if form == "npz" else np.savez_compressed)(path, other=np.arange(3), cube=laid_out)
    cube = read_cube(path)
    oracle = np.load(path) if form == "npy" else np.load(path)["cube"]
    assert cube.dtype == oracle.dtype.newbyteorder("=")
    assert (cube.wavelengths, cube.bad_bands, cube.no_data) == (None, None, None)
    np.testing.assert_array_equal(np.asarray(cube.values), oracle)
    rows, columns, bands = (draw.draw(st.slices(n)) for n in shape)
    np.testing.assert_array_equal(cube.values[rows, columns, bands], oracle[rows, columns, bands])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_wavelengths_and_flags_beside_the_cube(tmp_path: Path, save) -> None:
    path = tmp_path / "cube.npz"
    save(path, cube=V, wavelengths=np.array([400, 500, 600]), bbl=[1, 1, 0])
    with pytest.warns(UserWarning, match="taken as nm"):
        cube = read_cube(path)
    np.testing.assert_array_equal(cube.wavelengths, [400, 500, 600])
    assert cube.bad_bands.tolist() == [False, False, True]


def test_bands_first_are_recognized_by_the_wavelengths(tmp_path: Path) -> None:
    path = tmp_path / "cube.npz"
    np.savez(path, cube=V.transpose(2, 0, 1), wavelengths=[400, 500, 600])
    with pytest.warns(UserWarning, match="taken as nm"):
        cube = read_cube(path)
    np.testing.assert_array_equal(np.asarray(cube.values), V)


def test_several_arrays_need_a_key(tmp_path: Path) -> None:
    path = tmp_path / "cubes.npz"
    np.savez(path, raw=V, dark=V[:2])
    with pytest.raises(CubeFormatError, match=r"`raw` \(4, 5, 3\), `dark` \(2, 5, 3\)\. Pass key="):
        read_cube(path)
    assert read_cube(path, key="dark").shape == (2, 5, 3)


@pytest.mark.parametrize(
    ("key", "message"),
    [("nope", "expected an array `nope`, got `cube`"), ("flat", r"got `flat` \(4, 5\). Pass another key=")],
)
def test_wrong_key_lists_what_there_is(tmp_path: Path, key: str, message: str) -> None:
    path = tmp_path / "cube.npz"
    np.savez(path, cube=V, flat=V[:, :, 0])
    with pytest.raises(CubeFormatError, match=message):
        read_cube(path, key=key)


def test_array_of_other_axes_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "flat.npy", V[0])
    with pytest.raises(CubeFormatError, match=r"\(h, w, c\), got \(5, 3\)"):
        read_cube(tmp_path / "flat.npy")


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.full((2, 2, 2), None), allow_pickle=True)
    with pytest.raises(CubeFormatError, match="pickled objects"):
        read_cube(tmp_path / "cube.npy")


def test_cut_file_prints_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "cube.npy"
    np.save(path, V)
    n = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CubeFormatError, match=f"expected {n} bytes, got {n - 40}"):
        read_cube(path)


def test_rewritten_compressed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "cube.npz"
    np.savez_compressed(path, cube=V)
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), V)
    path.unlink()
    np.savez_compressed(path, cube=V + 1)
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), V + 1)


def test_pickled_objects_beside_the_cube_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "cube.npz"
    np.savez(path, cube=V, notes=np.array({"by": "me"}))
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), V)


def test_uncompressed_archive_is_not_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cube.npz"
    np.savez(path, cube=V)

    def load(*args: object, **options: object) -> None:
        raise AssertionError("decoded whole")

    monkeypatch.setattr(np, "load", load)
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), V)


def test_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cube.npz").write_bytes(b"no archive")
    with pytest.raises(CubeFormatError, match=r"expected a \.npy or \.npz file, got 10 bytes"):
        read_cube(tmp_path / "cube.npz")


@pytest.mark.parametrize("axes", ORDERS)
def test_axes_say_the_order(tmp_path: Path, axes: str) -> None:
    np.save(tmp_path / "a.npy", V.transpose(["hwc".index(letter) for letter in axes]))
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.npy", axes=axes).values), V)


@pytest.mark.parametrize("shape", ["(-2, -2, 3)", "(2.0, 2, 3)", "(2, 2", "[2, 2, 3]", "(2, 2, 10**9)"])
def test_a_header_with_an_impossible_shape_is_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    (tmp_path / "a.npy").write_bytes(
        b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + bytes(48)
    )
    with pytest.raises(CubeFormatError, match=r"a\.npy"):
        read_cube(tmp_path / "a.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("at", [30, 80, 150, -40])
def test_a_damaged_archive_is_read_or_named(tmp_path: Path, save, at: int) -> None:
    save(tmp_path / "a.npz", cube=V)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[at] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(content)
    # A plain array's numbers are read in place, where the archive's checksum does not cover them.
    with contextlib.suppress(CubeFormatError):
        assert np.asarray(read_cube(tmp_path / "a.npz").values).shape == V.shape
