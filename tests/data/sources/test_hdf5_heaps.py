"""Heaps whose objects have wrong lengths are refused before HDF5 walks through them for ever."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import CubeFormatError

CUBE = np.arange(60.0, dtype=np.float32).reshape(5, 4, 3)


def write(path: Path, **attributes: str) -> int:
    """Write a cube with texts of variable length, and return where their heap is."""
    with h5py.File(path, "w") as file:
        file["cube"] = CUBE
        file["cube"].attrs.update(attributes)
    return path.read_bytes().index(b"GCOL")


def change(path: Path, at: int, number: int) -> None:
    content = bytearray(path.read_bytes())
    content[at : at + 8] = number.to_bytes(8, "little")
    path.write_bytes(content)


@pytest.mark.parametrize("suffix", [".h5", ".nc", ".mat"])
@pytest.mark.parametrize("length", [0, 5, 2**63, 2**64 - 16, 2**64 - 1])
def test_a_free_space_of_a_wrong_length_is_refused(suffix: str, length: int, tmp_path: Path) -> None:
    path = tmp_path / f"cube{suffix}"
    heap = write(path, units="nm")
    # By the definition: 16 bytes of the heap's head, 16 of the text's, the text in 8, 8 of the free space's.
    if length == 5:
        change(path, heap + 16 + 16 + 8 + 8, 0)
        change(path, heap + 16 + 8, length)  # another text's length, from which on all that follows is off
    else:
        change(path, heap + 16 + 16 + 8 + 8, length)
    with pytest.raises(CubeFormatError, match=rf"{path.name}: expected a heap of texts at byte {heap}"):
        read_cube(path)


def test_sound_texts_are_read(tmp_path: Path) -> None:
    path = tmp_path / "cube.h5"
    write(path, units="nm", long_name="ü" * 5000, comment="", other="x" * 16)
    assert np.array_equal(read_cube(path).values[:], CUBE)


def test_a_heap_across_the_part_that_is_searched_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cube.h5"
    heap = write(path, units="nm", long_name="x" * 3000)
    for searched in range(heap + 8, heap + 64, 8):
        monkeypatch.setattr("cuvis_ai.data.sources.hdf5_heaps._SEARCHED", searched)
        assert np.array_equal(read_cube(path).values[:], CUBE)
