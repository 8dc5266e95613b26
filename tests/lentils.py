"""Writes a tiny data set on disk in the shape of Cubert's Lentils: cubes of 61 bands and one COCO JSON.

Run as a script, it writes to the folder given: `python tests/lentils.py data/Lentils`.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True, kw_only=True, eq=False)
class Lentils:
    """What was written, as the oracle of tests."""

    folder: Path
    names: list[str]
    """Cube names in file-name order; the image id of the i-th is i."""
    cubes: NDArray[np.uint16]
    """(n, h, w, c)."""
    masks: NDArray[np.bool_]
    """(n, h, w), True where a pixel is an anomaly."""
    wavelengths: NDArray[np.float64]
    """(c,) in nm; in the ENVI headers, not in .npy files."""


def write_lentils(
    folder: Path,
    *,
    n_cubes: int = 12,
    bands: int = 61,
    height: int = 32,
    width: int = 40,
    suffix: str = ".hdr",
    seed: int = 0,
) -> Lentils:
    """Write the data set and return what it holds.

    The background mixes three smooth spectra in patches under uneven light, with noise. Each cube has one
    to three anomalies of a fourth and fifth spectrum, from darker to brighter than the background. The
    annotations are polygons in even images and run lengths in odd ones.

    Args:
        folder: where to write; made if missing.
        n_cubes: number of cubes, named lentils_000, lentils_001, …
        bands: number of bands, from 450 to 850 nm.
        height: rows of a cube.
        width: columns of a cube.
        suffix: ".hdr" writes ENVI with wavelengths, ".npy" arrays without.
        seed: of everything random.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wavelengths = np.round(np.linspace(450.0, 850.0, bands), 2)
    rng = np.random.default_rng(seed)
    names = [f"lentils_{i:03d}" for i in range(n_cubes)]
    cubes = np.empty((n_cubes, height, width, bands), dtype=np.uint16)
    masks = np.zeros((n_cubes, height, width), dtype=bool)
    annotations: list[dict[str, Any]] = []
    for i in range(n_cubes):
        boxes = _boxes(rng, height, width)
        for top, left, bottom, right in boxes:
            masks[i, top:bottom, left:right] = True
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": 1,
                    "segmentation": _polygon(top, left, bottom, right)
                    if i % 2 == 0
                    else _run_lengths((height, width), top, left, bottom, right),
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (bottom - top) * (right - left),
                    "iscrowd": i % 2,
                }
            )
        cubes[i] = _cube(rng, wavelengths, height, width, boxes)
        _write(folder / f"{names[i]}{suffix}", cubes[i], wavelengths)
    images = [
        {"id": i, "file_name": f"{name}{suffix}", "height": height, "width": width}
        for i, name in enumerate(names)
    ]
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "stone"}]}
    (folder / "annotations.json").write_text(json.dumps(coco), encoding="utf-8")
    return Lentils(folder=folder, names=names, cubes=cubes, masks=masks, wavelengths=wavelengths)


def _spectra(wavelengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Five smooth reflectances (5, c): three of lentils, two of foreign bodies."""
    nm = wavelengths[None, :]
    centres = np.array([[620.0], [700.0], [560.0], [500.0], [780.0]])
    widths = np.array([[160.0], [120.0], [200.0], [60.0], [50.0]])
    slopes = np.array([[0.3], [0.5], [0.1], [-0.2], [0.6]])
    curves = 0.25 + 0.4 * np.exp(-(((nm - centres) / widths) ** 2)) + slopes * (nm - 450.0) / 2000.0
    return np.asarray(curves, dtype=np.float64)


def _cube(
    rng: np.random.Generator,
    wavelengths: NDArray[np.float64],
    height: int,
    width: int,
    boxes: list[tuple[int, int, int, int]],
) -> NDArray[np.uint16]:
    """One cube (h, w, c) in counts of a 12-bit sensor."""
    spectra = _spectra(wavelengths)
    patches = np.stack([gaussian_filter(rng.normal(size=(height, width)), 2.0) for _ in range(3)])
    shares = np.exp(4.0 * patches / patches.std())
    shares /= shares.sum(axis=0)
    cube = np.einsum("khw,kc->hwc", shares, spectra[:3])
    for top, left, bottom, right in boxes:
        foreign = spectra[3 + int(rng.integers(2))] * rng.uniform(0.5, 1.8)
        cube[top:bottom, left:right] = 0.2 * cube[top:bottom, left:right] + 0.8 * foreign
    light = (
        1.0 + 0.3 * np.linspace(-1, 1, width)[None, :, None] + 0.1 * np.linspace(-1, 1, height)[:, None, None]
    )
    noisy = 2000.0 * cube * light + rng.normal(scale=6.0, size=cube.shape) + 60.0
    return np.asarray(noisy.clip(0, 4095).round(), dtype=np.uint16)


def _boxes(rng: np.random.Generator, height: int, width: int) -> list[tuple[int, int, int, int]]:
    """One to three rectangles (top, left, bottom, right) of 2 to 5 pixels a side."""
    boxes = []
    for _ in range(int(rng.integers(1, 4))):
        h, w = (int(side) for side in rng.integers(2, 6, size=2))
        top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        boxes.append((top, left, top + h, left + w))
    return boxes


def _polygon(top: int, left: int, bottom: int, right: int) -> list[list[int]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def _run_lengths(size: tuple[int, int], top: int, left: int, bottom: int, right: int) -> dict[str, Any]:
    """COCO's uncompressed run lengths: column by column, beginning with a run of zeros."""
    mask = np.zeros(size, dtype=bool)
    mask[top:bottom, left:right] = True
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    return {"size": list(size), "counts": [0, *counts] if flat[0] else counts}


def _write(path: Path, cube: NDArray[np.uint16], wavelengths: NDArray[np.float64]) -> None:
    """One cube as .npy, or as ENVI, line by line (BIL), little-endian."""
    if path.suffix == ".npy":
        np.save(path, cube)
        return
    height, width, bands = cube.shape
    path.with_suffix(".img").write_bytes(cube.transpose(0, 2, 1).astype("<u2").tobytes())
    centres = ", ".join(f"{nm:g}" for nm in wavelengths)
    path.write_text(
        f"ENVI\nsamples = {width}\nlines = {height}\nbands = {bands}\nheader offset = 0\n"
        "file type = ENVI Standard\ndata type = 12\ninterleave = bil\nbyte order = 0\n"
        f"wavelength units = Nanometers\nwavelength = {{{centres}}}\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    write_lentils(Path(sys.argv[1]))
