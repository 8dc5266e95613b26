"""Anomaly masks and label images from files of many formats; imports the errors and `cuvis_ai.data`."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.formats import matlab, npy
from cuvis_ai.data.formats.contents import Array
from cuvis_ai.data.formats.members import Member, chosen_key
from cuvis_ai.errors import CubeFormatError, DatasetNotFoundError

_PICTURES = (".png", ".bmp", ".gif")


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
    suffix = path.suffix.lower()
    if suffix in _PICTURES:
        labels = _picture(path)
    elif suffix in (".npy", ".npz"):
        labels = _named(path, npy.members(path), shape, key)
    elif suffix == ".mat" or matlab.is_hdf5(path):
        labels = _named(path, matlab.members(path), shape, key)
    else:
        labels = np.asarray(read_cube(path, key).values)
    if labels.ndim == 3 and labels.shape[2] == 1:
        labels = labels[:, :, 0]
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
    flat = [m.shape for m in members.values() if _is_image(m.shape)]

    def fits(candidate: tuple[int, ...]) -> bool:
        if key is None and tuple(shape) in [s[:2] for s in flat]:
            return _is_image(candidate) and candidate[:2] == tuple(shape)
        return _is_image(candidate)

    name = chosen_key(path, members, key, fits, f"a mask {tuple(shape)}")
    labels: Any = members[name].load()
    return np.asarray(labels)


def _is_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)
