"""Netpbm's binary colour images, .ppm."""

from pathlib import Path

import numpy as np

from cuvis_ai.data.sources.contents import CubeContents
from cuvis_ai.data.sources.cube_format import CubeFormat
from cuvis_ai.data.sources.raw import RawSource


def read(path: Path, key: str | None) -> CubeContents:
    """Return the cube of an image with 8 bits a value; its pixels stay on disk until they are indexed."""
    header = path.read_bytes()[:64].split(maxsplit=4)
    width, height = int(header[1]), int(header[2])
    offset = path.stat().st_size - height * width * 3
    pixels = RawSource(
        path=path, offset=offset, dtype=np.dtype("u1"), shape=(height, width, 3), order=(0, 1, 2)
    )
    return CubeContents(source=pixels)


FORMAT = CubeFormat(read=read, suffixes=(".ppm",), signatures=((0, b"P6"),))
