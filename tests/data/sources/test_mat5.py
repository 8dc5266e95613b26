"""MATLAB 5 to 7 against SciPy, and files with wrong sizes and types."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from cuvis_ai.data.sources.decoding import UndecodableError
from cuvis_ai.data.sources.mat5 import dense, variables
from cuvis_ai.errors import CubeFormatError

V = np.arange(60, dtype=np.float32).reshape(4, 5, 3)
CELLS = np.empty((2, 1), dtype=object)
CELLS[0, 0], CELLS[1, 0] = V, np.eye(2)
CONTENT = {
    "plain": V,
    "flag": np.array([[True, False]]),
    "scene": {"cube": V * 2, "sensor": {"centres": np.arange(3.0)}, "name": "text"},
    "cells": CELLS,
    "several": np.array([(1.0, V), (2.0, V + 1)], dtype=[("n", object), ("cube", object)]),
    "mask": scipy.sparse.csc_matrix(([1.0, 1.0, 2.0], ([0, 2, 3], [1, 1, 4])), shape=(4, 5)),
    "none": scipy.sparse.csc_matrix((4, 5)),
    "text": "no number",
}


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_in_structs_and_cells_equal_scipys(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, CONTENT, do_compression=compress)
    loaded = scipy.io.loadmat(path)
    oracle = {
        "plain": loaded["plain"],
        "flag": loaded["flag"],
        "scene/cube": loaded["scene"]["cube"][0, 0],
        "scene/sensor/centres": loaded["scene"]["sensor"][0, 0]["centres"][0, 0],
        "cells/0": loaded["cells"][0, 0],
        "cells/1": loaded["cells"][1, 0],
        "several/0/n": loaded["several"]["n"].ravel()[0],
        "several/0/cube": loaded["several"]["cube"].ravel()[0],
        "several/1/n": loaded["several"]["n"].ravel()[1],
        "several/1/cube": loaded["several"]["cube"].ravel()[1],
        "mask": loaded["mask"].toarray(),
        "none": loaded["none"].toarray(),
    }
    found = variables(path)
    assert {name: variable.shape for name, variable in found.items()} == {
        name: v.shape for name, v in oracle.items()
    }
    for name, values in oracle.items():
        read = variables(path, name)[name].values
        np.testing.assert_array_equal(read, values)
        assert read.dtype == values.dtype


def changed(path: Path, after: bytes, offset: int, content: bytes) -> None:
    whole = bytearray(path.read_bytes())
    at = whole.index(after) + len(after) + offset
    whole[at : at + len(content)] = content
    path.write_bytes(whole)


@pytest.mark.parametrize("kind", [0, 8, 10, 14, 15, 200, 0x01FF])
def test_a_type_that_is_none_is_refused(tmp_path: Path, kind: int) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"cube": V})
    changed(tmp_path / "a.mat", b"cube", 0, kind.to_bytes(2, "little"))
    with pytest.raises(CubeFormatError, match=r"a\.mat: expected"):
        variables(tmp_path / "a.mat")


@pytest.mark.parametrize("n", [0, 239, 241, 2**31 - 1, 2**32 - 1])
def test_a_size_that_is_not_the_shapes_is_refused(tmp_path: Path, n: int) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"cube": V})
    changed(tmp_path / "a.mat", b"cube", 4, n.to_bytes(4, "little"))
    with pytest.raises(CubeFormatError, match=r"a\.mat: expected"):
        variables(tmp_path / "a.mat")


def test_a_checksum_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"cube": np.zeros((40, 50, 30))}, do_compression=True)
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CubeFormatError, match="incorrect data check"):
        variables(path, "cube")


@pytest.mark.parametrize("n", [129, 140, 200])
def test_a_file_cut_short_is_refused(tmp_path: Path, n: int) -> None:
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"cube": V})
    path.write_bytes(path.read_bytes()[:n])
    if n == 129:  # not even a tag: as SciPy, an empty file
        assert variables(path) == {}
    else:
        with pytest.raises(CubeFormatError, match="expected"):
            variables(path)


@pytest.mark.parametrize(
    ("rows", "starts"),
    [
        ([0, 9], [0, 2]),
        ([0, -1], [0, 2]),
        ([0], [0, 2]),
        ([0, 1], [0, 2, 1]),
        ([0, 1], [1, 2]),
        ([1, 1], [0, 2]),
    ],
)
def test_a_sparse_matrix_with_values_outside_is_refused(rows: list[int], starts: list[int]) -> None:
    with pytest.raises(UndecodableError, match="sparse"):
        dense(4, np.array(rows), np.array(starts), np.ones(len(rows)))


@pytest.mark.parametrize("n", [5, 8, 255])
def test_a_small_element_has_up_to_four_bytes(tmp_path: Path, n: int) -> None:
    """SciPy refuses others, too."""
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"cube": V})
    changed(path, b"\1\0\4\0", -2, n.to_bytes(2, "little"))  # the tag of the name
    with pytest.raises(ValueError, match="SDE"):
        scipy.io.loadmat(path)
    with pytest.raises(CubeFormatError, match=f"up to 4 bytes .* got {n}"):
        variables(path)
