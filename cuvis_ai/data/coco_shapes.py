"""The pixels that a COCO segmentation covers; every number is checked before pycocotools sees it."""

from reprlib import repr as shortened
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvis_ai.errors import CubeFormatError

_LONGEST_OUTLINE = 1_000_000
"""Pixels that the edges of a polygon may pass; pycocotools notes each in some 100 bytes."""


def covered(
    segmentation: Any, shape: tuple[int, int], where: str, codec: ModuleType
) -> npt.NDArray[np.bool_]:
    """Return the pixels (h, w) that a segmentation covers.

    Args:
        segmentation: polygons, or run lengths, compressed or not.
        shape: (h, w) of the image.
        where: subject of messages.
        codec: `pycocotools.mask`, which draws polygons.

    Raises:
        CubeFormatError: it is neither, or a number in it cannot be.
    """
    if isinstance(segmentation, dict):
        return _from_runs(segmentation, shape, where)
    mask = np.zeros(shape, dtype=bool)
    for corners in _polygons(segmentation, where):
        if not _misses(corners, shape):
            _check_extent(corners, shape, where)
            (runs,) = codec.frPyObjects([corners.ravel().tolist()], *shape)
            mask |= np.asarray(codec.decode(runs)).astype(bool)
    return mask


def lies_outside(segmentation: Any, shape: tuple[int, int]) -> bool:
    """Tell whether a segmentation is of polygons, all of which lie outside the image.

    Of anything that cannot be drawn it is not so; `covered` says what is wrong with it.

    Args:
        segmentation: as for `covered`.
        shape: (h, w) of the image.
    """
    if isinstance(segmentation, dict):
        return False
    try:
        polygons = _polygons(segmentation, "")
    except CubeFormatError:
        return False
    return all(_misses(corners, shape) for corners in polygons)


def _polygons(segmentation: Any, where: str) -> list[npt.NDArray[np.float64]]:
    """Return the corners (n, 2), x and y, of each polygon."""
    polygons = segmentation if isinstance(segmentation, list) else []
    if not polygons or not all(
        isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 for part in polygons
    ):
        raise CubeFormatError(
            f"{where}: expected a segmentation (polygons of at least 3 corners, x and y of each, or run "
            f"lengths), got {shortened(segmentation)}. A box alone says not which pixels are anomalous; "
            "annotate the outline."
        )
    for part in polygons:
        for value in part:
            if type(value) not in (int, float) or not abs(value) < 1e300:
                raise CubeFormatError(
                    f"{where}: expected finite numbers as the polygon's corners, got {shortened(value)}."
                )
    return [np.array(part, dtype=np.float64).reshape(-1, 2) for part in polygons]


def _misses(corners: npt.NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Tell whether the box around a polygon has no area in common with the image."""
    return bool((corners.max(axis=0) <= 0).any() or (corners.min(axis=0) >= shape[::-1]).any())


def _check_extent(corners: npt.NDArray[np.float64], shape: tuple[int, int], where: str) -> None:
    """Raise an error for a polygon that reaches far out of the image, or whose outline is too long."""
    h, w = shape
    margin = max(h, w)
    if corners.min() < -margin or (corners.max(axis=0) > (w + margin, h + margin)).any():
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        raise CubeFormatError(
            f"{where}: expected a polygon in the image of {w} × {h} pixels, got x from {left:g} to {right:g} "
            f"and y from {top:g} to {bottom:g}. Was it drawn on another image, or in map coordinates?"
        )
    closed = np.vstack([corners, corners[:1]])
    length = np.abs(np.diff(closed, axis=0)).max(axis=1).sum()
    if length > _LONGEST_OUTLINE:
        raise CubeFormatError(
            f"{where}: expected an outline of at most {_LONGEST_OUTLINE} pixels, got {length:.0f}. "
            "Save the mask as a picture or as run lengths."
        )


def _from_runs(runs: dict[str, Any], shape: tuple[int, int], where: str) -> npt.NDArray[np.bool_]:
    """Return the mask of run lengths: column by column, in turn outside and inside, outside first."""
    n_pixels = shape[0] * shape[1]
    size, counts = runs.get("size"), runs.get("counts")
    if not isinstance(size, list) or size != list(shape) or not all(type(side) is int for side in size):
        raise CubeFormatError(f"{where}: expected run lengths of size {list(shape)}, got {shortened(size)}.")
    if isinstance(counts, str):
        lengths = _decompressed(counts, n_pixels, where)
    elif isinstance(counts, list) and all(type(n) is int and 0 <= n <= n_pixels for n in counts):
        lengths = np.array(counts, dtype=np.int64)
    else:
        raise CubeFormatError(
            f"{where}: expected `counts` to be a text or a list of numbers from 0 to {n_pixels}, got "
            f"{shortened(counts)}."
        )
    if lengths.sum() != n_pixels:
        raise CubeFormatError(f"{where}: expected run lengths of {n_pixels} pixels, got {lengths.sum()}.")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(shape, order="F")


def _decompressed(text: str, n_pixels: int, where: str) -> npt.NDArray[np.int64]:
    """Return the run lengths in COCO's compressed text.

    A number is written in groups of 5 bits, the lowest first, one a character, which is 48 and the group and,
    but for the last, 32; bit 16 of the last is its sign. From the fourth on, numbers are differences from
    the last but one.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "replace"), dtype="<u4").astype(np.int64) - 48
    if len(codes) == 0 or (codes < 0).any() or (codes > 63).any() or codes[-1] & 32:
        raise _garbled(text, where)
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    n_groups = ends - starts + 1
    if n_groups.max() > 7:
        raise _garbled(text, where)
    position = np.arange(len(codes)) - np.repeat(starts, n_groups)
    numbers = np.add.reduceat((codes & 31) << 5 * position, starts)
    numbers -= np.where(codes[ends] & 16, 1 << 5 * n_groups, 0)
    for parity in (1, 2):
        numbers[parity::2] = np.cumsum(numbers[parity::2])
    if (numbers < 0).any() or (numbers > n_pixels).any():
        raise _garbled(text, where)
    return numbers


def _garbled(text: str, where: str) -> CubeFormatError:
    return CubeFormatError(
        f"{where}: expected compressed run lengths as pycocotools writes them, got {shortened(text)}. "
        "Is the text cut short?"
    )
