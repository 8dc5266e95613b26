"""Mask sources: functions of (h, w) that return the mask, or the labels, of a whole cube.

A data module binds the first arguments of one with `functools.partial`, which travels to worker processes.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.coco_masks import Category, CocoMasks
from cuvis_ai.errors import ConfigError

MaskSource = Callable[[tuple[int, int]], NDArray[Any]]
"""Returns the mask, or the labels, of a whole cube, given its (h, w)."""


def mask_in_memory(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return this mask, whatever the size: the reader compares the two."""
    return mask


def no_anomaly(size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of a cube without anomalies."""
    return np.zeros(size, dtype=bool)


def coco_mask(
    path: Path, image: int, normal: tuple[Category, ...], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return the mask that the annotations of one image of a COCO JSON draw."""
    return coco_masks(path, normal).mask(image, size)


def coco_masks(path: Path, normal: tuple[Category, ...] = ()) -> CocoMasks:
    """Return the annotations of a COCO JSON, parsed once a process and again when the file has changed."""
    return _parsed(path, normal, path.stat().st_mtime_ns)


def coco_image_ids(names: Sequence[str], images: Mapping[int, str]) -> list[int | None]:
    """Return the image id of each cube, None where no image is called like it.

    An image and a cube belong together when their paths are equal, or else their last parts, if these
    are unique among the images and among the cubes.

    Args:
        names: names of cubes, without suffix, with or without folders.
        images: file names by image id.

    Raises:
        ConfigError: the name of an image without folders fits cubes in several folders.
    """
    paths = {image: PurePosixPath(file_name.replace("\\", "/")) for image, file_name in images.items()}
    by_path = {str(path.with_suffix("")): image for image, path in paths.items()}
    stems = Counter(path.stem for path in paths.values())
    by_stem = {path.stem: image for image, path in paths.items() if stems[path.stem] == 1}
    short_names = Counter(PurePosixPath(name).name for name in names)
    found: list[int | None] = []
    for name in names:
        short = PurePosixPath(name).name
        image = by_path.get(name)
        if image is None and short_names[short] == 1:
            image = by_stem.get(short)
        elif image is None and short in by_path:
            alike = [other for other in names if PurePosixPath(other).name == short]
            raise ConfigError(
                "annotations: expected file names that tell the cubes apart, got "
                f"`{images[by_path[short]]}`, which fits {alike}. Write the folder into `file_name`."
            )
        found.append(image)
    return found


@lru_cache(maxsize=8)
def _parsed(path: Path, normal: tuple[Category, ...], changed: int) -> CocoMasks:
    return CocoMasks(path, normal=normal)
