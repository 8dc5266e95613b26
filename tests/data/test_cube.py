"""`read_cube` and `CubeArray`: which reader takes a file, and indexing against NumPy's."""

import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_array import CubeArray
from cuvis_ai.data.sources.raw import RawSource
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError

V = np.arange(6 * 7 * 5, dtype=np.int32).reshape(6, 7, 5)
ORDERS = [(2, 0, 1), (0, 2, 1), (0, 1, 2), (2, 1, 0)]


def stored(folder: Path, values: np.ndarray, order: tuple[int, int, int], dtype: str = "<i4") -> CubeArray:
    """Return values laid out in an order of axes, on disk."""
    path = folder / "raw.bin"
    path.write_bytes(b"head" + values.transpose(order).astype(dtype).tobytes())
    return CubeArray(RawSource(path=path, offset=4, dtype=np.dtype(dtype), shape=values.shape, order=order))


@pytest.fixture
def npy(tmp_path: Path) -> Path:
    path = tmp_path / "cube.npy"
    np.save(path, V)
    return path


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_indexing_is_numpys(tmp_path: Path, draw: st.DataObject) -> None:
    order = draw.draw(st.sampled_from(ORDERS))
    array = stored(tmp_path, V, order, draw.draw(st.sampled_from(["<i4", ">i4"])))
    h, w, c = V.shape
    one_axis = [st.integers(-n, n - 1) | st.slices(n) for n in (h, w, c)]
    index = draw.draw(st.tuples(*one_axis[: draw.draw(st.integers(0, 3))]))
    if len(index) < 3:
        index = draw.draw(st.sampled_from([index, (*index, ...)]))
    got = array[index]
    assert got.shape == V[index].shape
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, V[index])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_band_lists_and_flags_are_numpys(tmp_path: Path, draw: st.DataObject) -> None:
    array = stored(tmp_path, V, draw.draw(st.sampled_from(ORDERS)))
    numbers = st.lists(st.integers(-5, 4), max_size=9).map(lambda chosen: np.asarray(chosen, dtype=int))
    flags = st.lists(st.booleans(), min_size=5, max_size=5).map(np.asarray)
    bands = draw.draw(numbers | flags)
    rows, columns = draw.draw(st.slices(6)), draw.draw(st.integers(-7, 6) | st.slices(7))
    np.testing.assert_array_equal(array[rows, columns, bands], V[rows, columns][..., bands])
    np.testing.assert_array_equal(array[..., bands], V[..., bands])


@pytest.mark.parametrize("order", ORDERS)
def test_large_sparse_reads_are_numpys(tmp_path: Path, order: tuple[int, int, int], monkeypatch) -> None:
    monkeypatch.setattr("cuvis_ai.data.cube_array._BOX", 300)  # some rows a box
    monkeypatch.setattr("cuvis_ai.data.sources.raw._BUFFER", 64)  # some runs a buffer
    array = stored(tmp_path, V, order)
    for rows in (slice(None), slice(None, None, 2), slice(4, None, -1), slice(None, None, -3)):
        np.testing.assert_array_equal(array[rows, ::2, [0, 3]], V[rows, ::2][:, :, [0, 3]])
        np.testing.assert_array_equal(array[rows, 2:5, 1:3], V[rows, 2:5, 1:3])


@pytest.mark.parametrize("gap", [0, 1 << 20])
@pytest.mark.parametrize("order", ORDERS)
def test_skipping_and_reading_over_gaps_agree(
    tmp_path: Path, order: tuple[int, int, int], gap: int, monkeypatch
) -> None:
    monkeypatch.setattr("cuvis_ai.data.sources.raw._GAP", gap)
    array = stored(tmp_path, V, order)
    for box in ((slice(1, 4), slice(2, 6), slice(1, 4)), (slice(5, 6), slice(6, 7), slice(4, 5))):
        np.testing.assert_array_equal(array[box], V[box])


def test_result_is_fresh_and_writable(npy: Path) -> None:
    values = read_cube(npy).values
    block = values[:2]
    block[:] = -1
    np.testing.assert_array_equal(values[:2], V[:2])


def test_array_protocol(npy: Path) -> None:
    values = read_cube(npy).values
    np.testing.assert_array_equal(np.asarray(values), V)
    assert np.asarray(values, dtype=np.float32).dtype == np.float32
    assert np.array(values).flags.writeable
    assert (values.ndim, len(values), values.nbytes) == (3, 6, V.nbytes)
    with pytest.raises(ValueError, match="copy=None or True"):
        np.asarray(values, copy=False)


@pytest.mark.parametrize("index", [6, (0, 7), (0, 0, -6), (0, 0, 0, 0), (..., ...), None, (0, 0, [5])])
def test_index_outside_is_an_index_error(npy: Path, index: object) -> None:
    with pytest.raises(IndexError, match="expected"):
        read_cube(npy).values[index]


def test_lists_of_rows_are_refused(npy: Path) -> None:
    with pytest.raises(TypeError, match="ints or slices for rows and columns"):
        read_cube(npy).values[[0, 1]]


def test_only_the_block_is_read(tmp_path: Path) -> None:
    # A sparse file of 40 GB: reading more than the block would take minutes and all the memory.
    path = tmp_path / "huge.img"
    shape = (100_000, 1_000, 200)
    with path.open("wb") as file:
        file.truncate(2 * 100_000 * 1_000 * 200)
    path.with_suffix(".hdr").write_text(
        "ENVI\nlines = 100000\nsamples = 1000\nbands = 200\ndata type = 12\ninterleave = bsq\n"
    )
    cube = read_cube(path)
    assert cube.shape == shape
    assert cube.values[99_990:, 10:20, ::50].sum() == 0
    assert cube.values[::10_000, ::100].shape == (10, 10, 200)


def test_cube_travels_to_worker_processes(npy: Path) -> None:
    cube = pickle.loads(pickle.dumps(read_cube(npy)))
    assert len(pickle.dumps(cube)) < 2000  # without the values
    np.testing.assert_array_equal(np.asarray(cube.values), V)


def test_cube_is_frozen_and_brief_in_messages(npy: Path) -> None:
    cube = read_cube(str(npy))
    assert (cube.shape, cube.dtype, cube.path) == (V.shape, V.dtype, npy)
    assert "shape=(6, 7, 5), dtype=int32" in repr(cube)
    with pytest.raises(FrozenInstanceError):
        cube.no_data = 1.0


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFoundError, match=r"nowhere.hdr: expected a cube, got no such file"):
        read_cube(tmp_path / "nowhere.hdr")


def test_folder_that_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(CubeFormatError, match="expected a file or a zarr store, got a folder"):
        read_cube(tmp_path)


def test_unknown_file_names_the_formats(tmp_path: Path) -> None:
    path = tmp_path / "cube.xyz"
    path.write_bytes(b"hello")
    with pytest.raises(
        CubeFormatError, match=r"expected .*\.mat, .*its header beside it, got a file of 5 bytes"
    ):
        read_cube(path)


def test_empty_cube_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "cube.npy", np.zeros((0, 4, 5)))
    with pytest.raises(CubeFormatError, match=r"at least one value, got \(0, 4, 5\)"):
        read_cube(tmp_path / "cube.npy")


@pytest.mark.parametrize("name", ["cube.dat", "cube", "cube.npz"])
def test_contents_count_more_than_the_suffix(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        np.save(file, V)
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), V)
    path.unlink()
    with h5py.File(path, "w") as file:
        file["cube"] = V
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), V)
