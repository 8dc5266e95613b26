"""Grey-scale openings by lines and squares, over valid pixels.

An erosion takes the least value of a window, a dilation the greatest; an opening is one after the other and
leaves what is as wide as the window. Windows of n pixels are found by doubling, in O(log n) shifts of the
image. Outside the image and at invalid pixels there is +∞ for the erosion and −∞ for the dilation, so that
the opening is a true one: idempotent, increasing and nowhere above its input.

Reference:
    Soille, "Morphological Image Analysis", 2003, sections 3.9, 4.1. van Herk, 1992, is as fast for any n.
"""

from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor
from torch.nn.functional import pad

from cuvis_ai.types import CubeTensor, PixelMask

Direction = tuple[int, int]
"""A step in rows and columns."""

ROW: Direction = (0, 1)
COLUMN: Direction = (1, 0)
LINES = (ROW, COLUMN, (1, 1), (1, -1))
"""0°, 90°, 135° and 45°."""

_INFINITY = float("inf")


def opening(cube: CubeTensor, valid: PixelMask | None, n: int, *steps: Direction) -> CubeTensor:
    """Return the opening of each channel by a centred line of n pixels, or by the rectangle of two lines.

    Args:
        cube: finite at valid pixels; those of the result at others are arbitrary, −∞ among them.
        valid: False at pixels without data; None if there are none.
        n: pixels of a line, odd.
        steps: the direction of each line.

    Example:
        >>> line = torch.tensor([0.0, 5.0, 0.0, 4.0, 4.0, 4.0]).view(1, 1, 1, 6)
        >>> opening(line, None, 3, (0, 1)).flatten().tolist()  # what is shorter than 3 pixels goes
        [0.0, 0.0, 0.0, 4.0, 4.0, 4.0]
    """
    eroded = reduce(
        lambda x, step: _extreme(x, n, step, torch.minimum), steps, _masked(cube, valid, _INFINITY)
    )
    return reduce(
        lambda x, step: _extreme(x, n, step, torch.maximum), steps, _masked(eroded, valid, -_INFINITY)
    )


def top_hat(cube: CubeTensor, valid: PixelMask | None, extent: int) -> CubeTensor:
    """Return each channel less its background, 0 or more; 0 at invalid pixels.

    Args:
        cube: finite at valid pixels.
        valid: False at pixels without data; None if there are none.
        extent: odd, in pixels.

    Example:
        >>> image = torch.zeros(1, 1, 9, 9)
        >>> image[0, 0, 4, 4] = 5.0
        >>> top_hat(image, None, extent=7).max().item()
        5.0
    """
    # Differences first: the mean of two openings would round where the image's level is high.
    square, lines = _openings(cube, valid, extent)
    rest = ((cube - square) + (cube - lines)) / 2
    return rest if valid is None else torch.where(valid[:, None], rest, 0.0)


def background(cube: CubeTensor, valid: PixelMask | None, extent: int) -> CubeTensor:
    """Return what remains of each channel when compact things smaller than `extent` are removed.

    It is the mean of the opening by a square of side 2 · round(.35 · extent) + 1 and the greatest of the
    openings by four centred lines of `extent` pixels, at 0°, 45°, 90° and 135°. Nowhere is it above the cube;
    at invalid pixels it is arbitrary, −∞ included.

    Args:
        cube: finite at valid pixels.
        valid: False at pixels without data.
        extent: odd, in pixels.

    Example:
        >>> image = torch.ones(1, 1, 9, 9)
        >>> image[0, 0, 4, 4] = 5.0
        >>> background(image, None, extent=7).max().item()
        1.0
    """
    square, lines = _openings(cube, valid, extent)
    return (square + lines) / 2


def _openings(cube: CubeTensor, valid: PixelMask | None, extent: int) -> tuple[CubeTensor, CubeTensor]:
    """Return the opening by a square, and the greatest of those by lines."""
    square = opening(cube, valid, 2 * round(0.35 * extent) + 1, ROW, COLUMN)
    return square, reduce(torch.maximum, (opening(cube, valid, extent, step) for step in LINES))


def _masked(cube: CubeTensor, valid: PixelMask | None, value: float) -> CubeTensor:
    return cube if valid is None else torch.where(valid[:, None], cube, value)


def _extreme(
    cube: CubeTensor, n: int, step: Direction, extreme: Callable[[Tensor, Tensor], Tensor]
) -> CubeTensor:
    """Return the extreme value of the centred line around each pixel, of n pixels."""
    rows, columns = (abs(part) * (n // 2) for part in step)
    outside = _INFINITY if extreme is torch.minimum else -_INFINITY
    found = pad(cube, (columns, columns, rows, rows), value=outside)
    length = 1
    while length < n:
        further = min(length, n - length)
        found = extreme(*_shifted(found, further, step))
        length += further
    return found


def _shifted(cube: Tensor, by: int, step: Direction) -> tuple[Tensor, Tensor]:
    """Return the starts of pairs of pixels that are so many steps apart, and their ends."""
    down, across = step
    first, last = slice(None, -by), slice(by, None)
    rows = (first, last) if down else (slice(None),) * 2
    columns = {0: (slice(None),) * 2, 1: (first, last), -1: (last, first)}[across]
    return cube[..., rows[0], columns[0]], cube[..., rows[1], columns[1]]
