"""Chunks without filters that are shorter, or longer, than their numbers are refused."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import CubeFormatError

CUBE = np.random.default_rng(0).integers(0, 4000, (4, 6, 5)).astype("<u2")


def shuffled(part: Any) -> bytes:
    """Bytes of 2-byte numbers, all the first ones before all the second ones."""
    return bytes(np.frombuffer(part.tobytes(), np.uint8).reshape(-1, 2).T.tobytes())


def write(path: Path, n_bytes: int, *, virtual: bool = False, shuffle: bool = False) -> None:
    """Two chunks, the second with that many of its 120 bytes."""
    first, second = (shuffled(part) if shuffle else part.tobytes() for part in (CUBE[:2], CUBE[2:]))
    with h5py.File(path.with_name("parts.h5") if virtual else path, "w") as file:
        cube = file.create_dataset("cube", CUBE.shape, CUBE.dtype, chunks=(2, 6, 5), shuffle=shuffle)
        cube.id.write_direct_chunk((0, 0, 0), first)
        cube.id.write_direct_chunk((2, 0, 0), (second + bytes(9))[:n_bytes])
    if virtual:
        layout = h5py.VirtualLayout(CUBE.shape, CUBE.dtype)
        layout[:] = h5py.VirtualSource(path.with_name("parts.h5"), "cube", CUBE.shape)
        with h5py.File(path, "w") as file:
            file.create_virtual_dataset("cube", layout)


@pytest.mark.parametrize("options", [{}, {"virtual": True}, {"shuffle": True}])
def test_whole_chunks_are_read(tmp_path: Path, options: Any) -> None:
    write(tmp_path / "a.h5", 120, **options)
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "a.h5").values), CUBE)


@pytest.mark.parametrize("options", [{}, {"virtual": True}, {"shuffle": True}])
@pytest.mark.parametrize("n_bytes", [119, 10, 125])
def test_others_are_refused(tmp_path: Path, n_bytes: int, options: Any) -> None:
    write(tmp_path / "a.h5", n_bytes, **options)
    message = rf"a\.h5: expected 2 chunks of 120 bytes in `/cube`, got {120 + n_bytes} bytes in all"
    with pytest.raises(CubeFormatError, match=message):
        read_cube(tmp_path / "a.h5").values[:]


def test_chunks_that_were_never_written_are_no_damage(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cube", CUBE.shape, CUBE.dtype, chunks=(2, 6, 5))[:2] = CUBE[:2]
    np.testing.assert_array_equal(
        np.asarray(read_cube(tmp_path / "a.h5").values), np.concatenate([CUBE[:2], 0 * CUBE[2:]])
    )


def test_chunks_larger_than_what_cannot_grow_are_refused(tmp_path: Path) -> None:
    """HDF5 writes none; where their sizes were changed, gzip gives fewer numbers than they say."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("cube", data=CUBE, chunks=CUBE.shape, compression="gzip")
    content = (tmp_path / "a.h5").read_bytes()
    for dtype in ("<u4", "<u8"):  # the sizes, and where the next chunk would begin; the last is of one number
        sizes, larger = (np.array([*size, 2], dtype).tobytes() for size in (CUBE.shape, (4, 7, 5)))
        assert content.count(sizes) == 1
        content = content.replace(sizes, larger)
    (tmp_path / "a.h5").write_bytes(content)
    with pytest.raises(CubeFormatError, match=r"chunks of at most \(4, 6, 5\) in `/cube`, got \(4, 7, 5\)"):
        read_cube(tmp_path / "a.h5").values[:]
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("cube", data=CUBE, chunks=(9, 6, 5), maxshape=(None, 6, 5))
    np.testing.assert_array_equal(np.asarray(read_cube(tmp_path / "b.h5").values), CUBE)
