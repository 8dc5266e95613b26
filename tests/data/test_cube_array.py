"""Indexing of cubes on disk against NumPy's."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_array import CubeArray
from cuvis_ai.data.sources.raw import RawSource

V = np.arange(6 * 7 * 5, dtype=np.int32).reshape(6, 7, 5)


ORDERS = [(2, 0, 1), (0, 2, 1), (0, 1, 2), (2, 1, 0)]


def stored(folder: Path, values: np.ndarray, order: tuple[int, int, int], dtype: str = "<i4") -> CubeArray:
    """Return values laid out in an order of axes, on disk."""
    path = folder / "raw.bin"
    path.write_bytes(b"head" + values.transpose(order).astype(dtype).tobytes())
    return CubeArray(RawSource(path=path, offset=4, dtype=np.dtype(dtype), shape=values.shape, order=order))


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


@pytest.fixture
def npy(tmp_path: Path) -> Path:
    path = tmp_path / "cube.npy"
    np.save(path, V)
    return path


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
