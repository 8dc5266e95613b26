"""Pages that GDAL leaves out are counted, and those that cannot be read are named."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.sources.decoding import UndecodableError
from cuvis_ai.data.sources.tiff_chain import count_directories
from cuvis_ai.errors import CubeFormatError

CUBE = np.random.default_rng(0).integers(0, 255, (5, 6, 4)).astype(np.uint8)


def write(path: Path, **options: Any) -> Path:
    first, *others = (Image.fromarray(np.ascontiguousarray(CUBE[..., i])) for i in range(CUBE.shape[2]))
    first.save(path, save_all=True, append_images=others, **options)
    return path


def directories(path: Path) -> list[int]:
    """Where the directories are, of a little-endian file."""
    content, found = path.read_bytes(), list[int]()
    at = struct.unpack_from("<I", content, 4)[0]
    while at:
        found.append(at)
        at = struct.unpack_from("<I", content, at + 2 + 12 * struct.unpack_from("<H", content, at)[0])[0]
    return found


def changed(path: Path, at: int, new: bytes) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[:at] + new + content[at + len(new) :])
    return path


@pytest.mark.parametrize("big", [False, True])
def test_pages_are_counted(tmp_path: Path, big: bool) -> None:
    path = write(tmp_path / "a.tif", big_tiff=big)
    assert count_directories(path) == 4
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), CUBE)


@pytest.mark.parametrize("page", [1, 3])
def test_a_page_that_cannot_be_read_is_no_band_less(tmp_path: Path, page: int) -> None:
    path = write(tmp_path / "a.tif")
    width = path.read_bytes().index(struct.pack("<HH", 256, 4), directories(path)[page])
    changed(path, width + 8, b"\xff\xff\xff\xff")
    with pytest.raises(CubeFormatError, match="a.tif: expected a TIFF file .*Too large image size"):
        read_cube(path)


def test_a_chain_that_leaves_the_file_or_comes_back_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    first, *_, last = directories(path)
    whole = path.read_bytes()
    changed(path, last, b"\xff\xff")
    with pytest.raises(UndecodableError, match="that of page 4 cut short"):
        count_directories(path)
    path.write_bytes(whole)
    changed(path, last + 2 + 12 * struct.unpack_from("<H", whole, last)[0], struct.pack("<I", first))
    with pytest.raises(UndecodableError, match=f"got that at {first} again"):
        count_directories(path)
