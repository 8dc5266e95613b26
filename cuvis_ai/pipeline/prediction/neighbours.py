"""Scenes that are neighbours on one map grid, so that windows see past their borders. It needs no torch."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.folders import cube_name
from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.errors import CubeFormatError
from cuvis_ai.pipeline.scene_reader import SceneReader

_OFF_GRID = 0.01
"""Pixels that lie further than this part of a pixel from those of a grid are of another; headers round."""


def with_neighbours(readers: Sequence[SceneReader], halo: int | None) -> Sequence[SceneReader]:
    """Return readers of scenes, each with the others that lie within its halo on one grid.

    Such scenes have the same coordinate reference system, which must be known, the same pixels in size and
    rotation, offsets of whole pixels, and the same bands. Where several hold a pixel beyond a scene's border
    it is that of the first, by name, in which it is valid.

    Args:
        readers: of all scenes.
        halo: how many pixels away a score depends on a scene; with 0, or None for all of it, none is near.
    """
    placed = [i for i, reader in enumerate(readers) if reader.cube.georeference is not None]
    if not halo or len(placed) < 2:
        return readers
    grids = _Grids([readers[i] for i in placed])
    found = list(readers)
    for position, i in enumerate(placed):
        if neighbours := grids.neighbours(position, halo):
            found[i] = replace(readers[i], neighbours=neighbours)
    return found


class _Grids:
    """The grids of many georeferenced scenes: of thousands, each is compared with all others at once."""

    def __init__(self, readers: Sequence[SceneReader]) -> None:
        self.readers = readers
        georeferences = [one for reader in readers if (one := reader.cube.georeference) is not None]
        transforms = np.array([one.transform for one in georeferences], np.float64).reshape(-1, 2, 3)
        self.axes, self.origins = transforms[..., :2], transforms[..., 2]
        self.sizes = np.array([reader.cube.shape[1::-1] for reader in readers], np.float64)
        self.systems = np.array([one.crs or "" for one in georeferences])

    def neighbours(self, i: int, halo: int) -> tuple[tuple[Window, SceneReader], ...]:
        """Return the scenes within the halo of one, and where they lie in its rows and columns."""
        one, places = self.readers[i], self._places(i)
        h, w = one.cube.shape[:2]
        reach = Window(-halo, -halo, h + 2 * halo, w + 2 * halo)
        found = [
            (place, self.readers[k])
            for k, place in places
            # One of the same area, such as another day's, has no pixel beyond the border.
            if (seen := reach.common(place)) is not None and seen.common(one.whole) != seen
            if _same_bands(one, self.readers[k])
        ]
        return tuple(sorted(found, key=lambda neighbour: cube_name(neighbour[1].cube.path)))

    def _places(self, i: int) -> list[tuple[int, Window]]:
        """Return the scenes of one's grid, by position, and where they lie in its rows and columns."""
        if not self.systems[i] or not np.linalg.det(self.axes[i]):
            return []
        inverse = np.linalg.inv(self.axes[i])
        offsets: NDArray[np.float64] = (self.origins - self.origins[i]) @ inverse.T
        whole = np.rint(offsets)
        # How far the corners are from where those of this grid would be.
        turned = np.abs(inverse @ self.axes - np.eye(2)) @ self.sizes[..., None]
        off = np.abs(offsets - whole) + turned[..., 0]
        same = (off <= _OFF_GRID).all(1) & (self.systems == self.systems[i])
        return [
            (k, Window(int(whole[k, 1]), int(whole[k, 0]), *self.readers[k].cube.shape[:2]))
            for k in np.flatnonzero(same).tolist()
        ]


def _same_bands(one: SceneReader, other: SceneReader) -> bool:
    """Whether the same bands of two scenes are needed, in one scale."""
    if one.order != other.order or not np.array_equal(one.bands.kept, other.bands.kept):
        return False
    try:
        one.bands.check(other.cube)
    except CubeFormatError:
        return False
    return True
