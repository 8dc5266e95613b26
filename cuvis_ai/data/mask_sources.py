"""Mask sources: functions of (h, w) that return the mask, or the labels, of a whole cube.

A data module binds the first arguments of one with `functools.partial`, which travels to worker processes.
"""

import logging
import re
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.coco_masks import Category, CocoMasks
from cuvis_ai.data.coco_record import Id, first_names
from cuvis_ai.errors import ConfigError

MaskSource = Callable[[tuple[int, int]], NDArray[Any]]
"""Returns the mask, or the labels, of a whole cube, given its (h, w); masked where it is unknown."""

logger = logging.getLogger(__name__)

_LONGEST_NAME = 255
"""Letters of a file's name, as file systems have it."""
_NUMBER_BEFORE = re.compile(r"(?<![a-z0-9])[0-9]{1,5}[\W_]*$")
_NUMBER_AFTER = re.compile(r"[\W_]*[0-9]{1,5}(?![a-z0-9])")


def mask_in_memory(mask: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Return this mask, whatever the size: the reader compares the two."""
    return mask


def no_anomaly(size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of a cube without anomalies."""
    return np.zeros(size, dtype=bool)


def coco_mask(
    path: Path, image: Id, normal: tuple[Category, ...], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Return the mask that the annotations of one image of a COCO JSON draw."""
    return coco_masks(path, normal).mask(image, size)


def coco_masks(path: Path, normal: tuple[Category, ...] = ()) -> CocoMasks:
    """Return the annotations of a COCO JSON, parsed once a process and again when the file has changed."""
    return _parsed(path, normal, path.stat().st_mtime_ns)


def coco_sources(path: Path, names: Sequence[str], normal: tuple[Category, ...]) -> dict[str, MaskSource]:
    """Return the masks of those cubes that a COCO JSON annotates, by their names; what is not used is logged.

    Args:
        path: the JSON file.
        names: as for `coco_image_ids`.
        normal: categories that are no anomalies.

    Raises:
        ConfigError: no annotation is of any of the cubes, or an image fits cubes in several folders.
        CubeFormatError: the file is no COCO JSON.
    """
    masks = coco_masks(path, normal)
    found = dict(zip(names, coco_image_ids(names, masks.images), strict=True))
    log_use(masks, found)
    return {
        name: partial(coco_mask, path, image, normal) for name, image in found.items() if image is not None
    }


def log_use(masks: CocoMasks, found: Mapping[str, Id | None]) -> None:
    """Log how many annotations the cubes use, and which images belong to none of them.

    Args:
        masks: the annotations.
        found: the image of each cube, None where there is none.

    Raises:
        ConfigError: the cubes use no annotation, though there are some.
    """
    used = {image for image in found.values() if image is not None}
    n_used = masks.n_used(used)
    unused = [name for image, name in masks.images.items() if image not in used]
    text = (
        f"{n_used} of {masks.n_annotations} annotations used, {len(unused)} images without a cube"
        f"{': ' if unused else ''}{first_names(unused)}"
    )
    if masks.n_annotations and not n_used:
        raise ConfigError(
            f"{masks.path}: expected annotations of the cubes {first_names(list(found))}, got {text}. Call "
            "images like their cubes in `file_name`, or remove the file."
        )
    loose = [
        f"{name} has {masks.images[image]}"
        for name, image in found.items()
        if image is not None and _path_of(masks.images[image]).stem != PurePosixPath(name).name
    ]
    if loose:
        logger.info("%s: images found by a part of their names: %s.", masks.path, first_names(loose))
    dropped = n_used < masks.n_annotations or bool(unused)
    logger.log(logging.WARNING if dropped else logging.INFO, "%s: %s.", masks.path, text)


def coco_image_ids(names: Sequence[str], images: Mapping[Id, str]) -> list[Id | None]:
    """Return the image id of each cube, None where no image is called like it.

    An image and a cube belong together when their paths are equal, or else their last parts, if these
    are unique among the images and among the cubes; or else, if the cube's name is a part of the image's, set
    off by a sign that is no letter or digit (`cb0618f6-tray.png`, `tray_rgb.png` and `tray.hdr.png` for
    `tray`), and no other cube and no other image fits. A short number next to the name makes it another
    one's: `tray_2.png` is not of `tray`.

    Args:
        names: names of cubes, without suffix, with or without folders.
        images: file names by image id.

    Raises:
        ConfigError: the name of an image without folders fits cubes in several folders.
    """
    paths = {image: _path_of(file_name) for image, file_name in images.items()}
    by_path = {str(path.with_suffix("")): image for image, path in paths.items()}
    stems = Counter(path.stem for path in paths.values())
    by_stem = {path.stem: image for image, path in paths.items() if stems[path.stem] == 1}
    short_names = Counter(PurePosixPath(name).name for name in names)
    found: list[Id | None] = []
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
    rest = {image: path.stem for image, path in paths.items() if image not in found}
    loose = _by_part([PurePosixPath(name).name for name in names], rest)
    return [loose.get(i) if image is None else image for i, image in enumerate(found)]


def _path_of(file_name: str) -> PurePosixPath:
    return PurePosixPath(file_name.replace("\\", "/"))


def _by_part(names: Sequence[str], stems: Mapping[Id, str]) -> dict[int, Id]:
    """Return images by the position of the only cube whose name is a part of theirs, and of no other."""
    positions: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        positions.setdefault(name.casefold(), []).append(i)
    claims: dict[int, list[Id]] = {}
    for image, stem in stems.items():
        part = _part_of(stem.casefold(), positions)
        if part is not None and len(positions[part]) == 1:
            claims.setdefault(positions[part][0], []).append(image)
    return {i: images[0] for i, images in claims.items() if len(images) == 1}


def _part_of(stem: str, names: Container[str]) -> str | None:
    """Return the longest name in a stem, if all others that are in it lie within that one."""
    if len(stem) > _LONGEST_NAME:
        return None
    starts = [i for i in range(len(stem)) if i == 0 or not stem[i - 1].isalnum()]
    ends = [j for j in range(1, len(stem) + 1) if j == len(stem) or not stem[j].isalnum()]
    spans = [(i, j) for i in starts for j in ends if i < j and stem[i:j] in names]
    if not spans:
        return None
    first, last = max(spans, key=lambda span: span[1] - span[0])
    apart = any(i < first or j > last for i, j in spans)
    numbered = _NUMBER_BEFORE.search(stem[:first]) or _NUMBER_AFTER.match(stem[last:])
    return None if apart or numbered else stem[first:last]


@lru_cache(maxsize=8)
def _parsed(path: Path, normal: tuple[Category, ...], changed: int) -> CocoMasks:
    return CocoMasks(path, normal=normal)
