"""Anomaly masks and label images from files of many formats."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.format_search import format_of
from cuvis_ai.data.sources.contents import Array
from cuvis_ai.data.sources.members import Member, chosen_key
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError

PICTURES = (".png", ".bmp", ".gif")
"""Endings of masks that are pictures; the others are in a format of cubes."""


def read_mask(
    path: str | Path,
    shape: tuple[int, int],
    *,
    key: str | None = None,
    anomalous: Collection[float] | None = None,
) -> npt.NDArray[np.bool_]:
    """Return a mask (h, w), True where a pixel is an anomaly.

    Args:
        path: a picture, .mat, .npy, .npz, HDF5 or one-band cube such as an ENVI classification file.
        shape: (h, w) of the cube that it belongs to.
        key: the array's name in a file of several; None: the only one that has the shape.
        anomalous: the values that mean an anomaly; None: all but 0.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it cannot be read as a mask, or has another shape.
    """
    labels = read_labels(path, shape, key=key)
    return labels != 0 if anomalous is None else np.isin(labels, list(anomalous))


def read_labels(path: str | Path, shape: tuple[int, int], *, key: str | None = None) -> Array:
    """Return the values of a label image (h, w) as they are stored; in colour pictures black is 0.

    Args:
        path: as in `read_mask`.
        shape: (h, w) of the cube that it belongs to.
        key: as in `read_mask`.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it cannot be read as a label image, has another shape, or a value is not finite.
    """
    path = Path(path)
    if not path.exists():
        raise DatasetNotFoundError(f"{path}: expected a mask, got no such file. Correct the path.")
    if path.suffix.lower() in PICTURES:
        labels = _picture(path)
    elif members := format_of(path).members:
        labels = _named(path, members(path), shape, key)
    else:
        labels = np.asarray(read_cube(path, key).values)
    labels = labels.reshape(_without_band(labels.shape))
    if labels.shape != tuple(shape):
        raise CubeFormatError(
            f"{path}: expected a mask of the cube's size {tuple(shape)}, got {labels.shape}. "
            "Is it the mask of another cube, or transposed?"
        )
    if not np.isfinite(labels).all():
        raise CubeFormatError(
            f"{path}: expected finite labels, got NaN or infinity. Write 0 where nothing is labelled."
        )
    return labels


def _picture(path: Path) -> Array:
    """Return a picture's grey values, palette indices, or for colours 255 where any channel is not 0."""
    from PIL import Image, UnidentifiedImageError  # comes with matplotlib; heavy

    try:
        with Image.open(path) as picture:
            values = np.asarray(picture)
            channels = picture.getbands()
    except UnidentifiedImageError as err:
        raise CubeFormatError(
            f"{path}: expected a picture ({path.stat().st_size} bytes), got another format. Save it as PNG."
        ) from err
    if values.ndim == 2:
        return values
    colours = [i for i, name in enumerate(channels) if name != "A"]  # opacity is no label
    return np.where(values[:, :, colours].any(axis=2), np.uint8(255), np.uint8(0))


def _named(path: Path, members: dict[str, Member], shape: tuple[int, int], key: str | None) -> Array:
    """Return the array under a key, or the only one that has the shape, or the only one with 2 axes."""
    images = [_without_band(member.shape) for member in members.values()]
    has_shape = key is None and tuple(shape) in images

    def fits(candidate: tuple[int, ...]) -> bool:
        image = _without_band(candidate)
        return image == tuple(shape) if has_shape else len(image) == 2

    return np.asarray(members[chosen_key(path, members, key, fits, f"a mask {tuple(shape)}")].load())


def _without_band(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an image with or without an axis of one band, the last or the first."""
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        return shape[:2] if shape[2] == 1 else shape[1:]
    return shape
