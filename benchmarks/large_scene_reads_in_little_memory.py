"""Claim: reading a scene larger than memory, block by block, adds at most 500 MB to the process.

    python benchmarks/large_scene_reads_in_little_memory.py --gigabytes 8

It writes an ENVI scene of that size into a temporary folder, in each interleave in turn, goes over it in
blocks of rows and in square tiles, and compares the sum of all values with that of the values written.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cuvis_ai.data.cube import read_cube

LIMIT = 500_000_000
WIDTH, BANDS = 2000, 200
ORDERS = {"bsq": (2, 0, 1), "bil": (0, 2, 1), "bip": (0, 1, 2)}


def write_scene(folder: Path, n_bytes: int, interleave: str) -> tuple[Path, int]:
    """Write a uint16 scene a little at a time; return its header and the sum of its values."""
    lines = max(1, n_bytes // (WIDTH * BANDS * 2))
    shape = (lines, WIDTH, BANDS)
    header = folder / f"{interleave}.hdr"
    fields = {"lines": lines, "samples": WIDTH, "bands": BANDS, "data type": 12, "byte order": 0}
    header.write_text(
        "\n".join(["ENVI", f"interleave = {interleave}", *(f"{k} = {v}" for k, v in fields.items())])
    )
    slow, *plane = (shape[axis] for axis in ORDERS[interleave])
    rng = np.random.default_rng(0)
    total = 0
    with header.with_suffix(".img").open("wb") as file:
        for _ in range(slow):
            for part in np.array_split(np.arange(plane[0]), max(1, plane[0] * plane[1] // 4_000_000)):
                values = rng.integers(0, 4096, (len(part), plane[1]), dtype=np.uint16)
                total += int(values.sum(dtype=np.int64))
                file.write(values.tobytes())
    return header, total


def blocks(shape: tuple[int, int, int], rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Yield the blocks of a scene."""
    for row in range(0, shape[0], rows):
        for column in range(0, shape[1], columns):
            yield slice(row, row + rows), slice(column, column + columns)


def peak() -> int:
    """Return the most memory the process has had, in bytes."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else kilobytes * 1024


def main() -> None:
    """Write, read, report, and fail above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=8.0, help="size of the scene")
    parser.add_argument("--interleaves", nargs="+", choices=ORDERS, default=list(ORDERS))
    parser.add_argument("--folder", type=Path, help="where to make the temporary folder")
    args = parser.parse_args()
    start = peak()
    for interleave in args.interleaves:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            header, expected = write_scene(Path(name), int(args.gigabytes * 1e9), interleave)
            cube = read_cube(header)
            for rows, columns in ((64, WIDTH), (256, 256)):
                began, total = time.perf_counter(), 0
                for block in blocks(cube.shape, rows, columns):
                    total += int(cube.values[block].sum(dtype=np.int64))
                seconds = time.perf_counter() - began
                assert total == expected, f"{interleave}: expected the sum {expected}, got {total}"
                print(
                    f"{interleave} {cube.shape}, blocks of {rows} × {columns}: {(peak() - start) / 1e6:.0f} "
                    f"MB above the start so far, {cube.values.nbytes / seconds / 1e9:.2f} GB/s, "
                    f"{cube.shape[0] * cube.shape[1] / seconds / 1e6:.1f} million pixels/s",
                    flush=True,
                )
    added = peak() - start
    assert added <= LIMIT, f"expected at most {LIMIT / 1e6:.0f} MB above the start, got {added / 1e6:.0f} MB"


if __name__ == "__main__":
    main()
