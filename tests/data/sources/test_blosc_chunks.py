"""Chunks that are not as long as they say are refused: blosc would read what lies behind them in memory."""

from pathlib import Path
from typing import Any, Literal

import numcodecs
import numpy as np
import pytest
import zarr

from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import CubeFormatError

CUBE = np.random.default_rng(0).integers(0, 4000, (12, 10, 5)).astype("u2")
V3 = zarr.codecs.BloscCodec(cname="lz4")


def written(folder: Path, version: Literal[2, 3]) -> Path:
    blosc = numcodecs.Blosc() if version == 2 else V3
    zarr.create_array(folder / "a.zarr", data=CUBE, chunks=(6, 10, 5), zarr_format=version, compressors=blosc)
    return folder / "a.zarr"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize(
    "change",
    [
        lambda chunk: chunk[:-60],
        lambda chunk: chunk + b"\0",
        lambda chunk: chunk[:7],
        lambda chunk: b"",
        lambda chunk: chunk[:12] + (len(chunk) + 9).to_bytes(4, "little") + chunk[16:],
    ],
    ids=["cut", "longer", "without a header", "empty", "another length in the header"],
)  # fmt: skip
def test_chunks_of_another_length_are_refused(tmp_path: Path, version: Literal[2, 3], change: Any) -> None:
    path = written(tmp_path, version)
    np.testing.assert_array_equal(np.asarray(read_cube(path).values), CUBE)
    chunk = path / {2: "0.0.0", 3: "c/0/0/0"}[version]
    chunk.write_bytes(change(chunk.read_bytes()))
    with pytest.raises(CubeFormatError, match=r"a\.zarr: expected \d+ bytes in the chunk `.*0`, got \d+\."):
        read_cube(path).values[:]


def test_shards_and_other_codecs_are_read_as_they_are(tmp_path: Path) -> None:
    for name, options in (
        ("shards", {"shards": (12, 10, 5), "compressors": V3}),
        ("zstd", {"compressors": zarr.codecs.ZstdCodec()}),
        ("none", {"compressors": None}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        zarr.create_array(folder / "a.zarr", data=CUBE, chunks=(6, 10, 5), **options)
        np.testing.assert_array_equal(np.asarray(read_cube(folder / "a.zarr").values), CUBE)
