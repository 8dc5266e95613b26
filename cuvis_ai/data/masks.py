"""Anomaly masks and label images from files of many formats."""

import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cuvis_ai.data import mask_pictures
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.format_search import format_of
from cuvis_ai.data.formats import tiff
from cuvis_ai.data.sources.contents import Array
from cuvis_ai.data.sources.decoding import decoding
from cuvis_ai.data.sources.members import Member, chosen_key
from cuvis_ai.data.sources.urls import Url, require_path, url_of
from cuvis_ai.data.sparse_masks import sparse_members
from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError
from cuvis_ai.paths import StrPath

_log = logging.getLogger(__name__)


def read_mask(
    path: StrPath,
    shape: tuple[int, int],
    *,
    key: str | None = None,
    anomalous: Collection[float] | None = None,
    ignored: Collection[float] | None = None,
) -> npt.NDArray[np.bool_]:
    """Return a mask (h, w), True where a pixel is an anomaly.

    Without `anomalous` all values but 0 are anomalies; more than one such value is logged, negative ones are
    refused. Of a picture with a palette, the colours count then, and black is normal; with `anomalous` or
    `ignored`, the indices do.

    Args:
        path: a picture; .mat, .npy, .npz or HDF5, a sparse matrix among them; or a one-band cube such as an
            ENVI classification file; or, as text, the URL of a TIFF.
        shape: (h, w) of the cube that it belongs to.
        key: the array's name in a file of several; None: the only one that has the shape.
        anomalous: the values that mean an anomaly; None: all but 0.
        ignored: the values that mean "unknown", NaN among them. If given, the result is a masked array, whose
            masked pixels are those.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it cannot be read as a mask, or has another shape.
        ConfigError: a value is anomalous and ignored.
    """
    path = _where(path)
    by_value = anomalous is not None or bool(ignored)
    labels, coloured = _labels(path, shape, key, indices=by_value)
    if by_value and coloured:
        raise CubeFormatError(
            f"{path}: expected values, of which `anomaly_values` and `ignore_values` name some, got colours. "
            "Save the mask as a grey or an indexed picture, or leave these arguments out."
        )
    unknown = _among(labels, ignored or ())
    _require_finite(path, labels, unknown)
    if anomalous is None:
        if not by_value:
            _require_black_zero(path, labels)
        mask = _all_but_zero(path, labels, unknown, coloured)
    else:
        require_distinct("read_mask", anomalous, ignored)
        mask = _among(labels, anomalous)
    return np.ma.array(mask & ~unknown, mask=unknown) if ignored else mask


def require_distinct(
    where: str, anomalous: Collection[float] | None, ignored: Collection[float] | None
) -> None:
    """Raise an error for values that shall mean an anomaly and "unknown" at once.

    Raises:
        ConfigError: there are some.
    """
    if both := sorted(set(anomalous or ()) & set(ignored or ())):
        raise ConfigError(
            f"{where}: expected `anomaly_values` and `ignore_values` without a common value, got {both} in "
            "both. Remove them from one."
        )


def read_labels(path: StrPath, shape: tuple[int, int], *, key: str | None = None) -> Array:
    """Return the values of a label image (h, w) as they are stored; of colours, 0xRRGGBB.

    Args:
        path: as in `read_mask`.
        shape: (h, w) of the cube that it belongs to.
        key: as in `read_mask`.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it cannot be read as a label image, has another shape, or a value is not finite.
    """
    path = _where(path)
    labels, _ = _labels(path, shape, key, indices=True)
    _require_finite(path, labels, np.zeros(labels.shape, dtype=bool))
    return labels


def _where(path: StrPath) -> Path | Url:
    """Return a path, or the URL of a TIFF; others are refused."""
    url = url_of(path)
    if url is not None and Path(url.partition("?")[0]).suffix.lower() in tiff.FORMAT.suffixes:
        return url
    require_path(path, "a mask")
    return Path(path)


def _labels(
    path: Path | Url, shape: tuple[int, int], key: str | None, *, indices: bool
) -> tuple[Array, bool]:
    """Return values (h, w), and whether they are colours."""
    if isinstance(path, Path) and not path.exists():
        raise DatasetNotFoundError(f"{path}: expected a mask, got no such file. Correct the path.")
    with decoding(path):
        if isinstance(path, Path) and path.suffix.lower() in mask_pictures.SUFFIXES:
            return mask_pictures.read_picture(path, shape, indices=indices)
        labels = _stored(path, shape, key)
    if labels.dtype.kind not in "biuf":
        raise CubeFormatError(f"{path}: expected real numbers as labels, got {labels.dtype}. Save them so.")
    return labels, False


def _stored(path: Path | Url, shape: tuple[int, int], key: str | None) -> Array:
    """Return the label image of a file that is no picture; its shape is compared before it is decoded."""
    if isinstance(path, Path) and (members := format_of(path).members):
        return _named(path, members(path) | sparse_members(path), shape, key)
    cube = read_cube(path, key)
    _require_shape(path, _without_band(cube.shape), shape)
    return np.asarray(cube.values).reshape(shape)


def _named(path: Path, members: dict[str, Member], shape: tuple[int, int], key: str | None) -> Array:
    """Return the array under a key, or the only one that has the shape, or the only one with 2 axes."""
    images = [_without_band(member.shape) for member in members.values()]
    has_shape = key is None and tuple(shape) in images

    def fits(candidate: tuple[int, ...]) -> bool:
        image = _without_band(candidate)
        return image == tuple(shape) if has_shape else len(image) == 2

    member = members[chosen_key(path, members, key, fits, f"a mask {tuple(shape)}")]
    _require_shape(path, _without_band(member.shape), shape)
    return np.asarray(member.load()).reshape(shape)


def _without_band(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of an image with or without an axis of one band, the last or the first."""
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        return shape[:2] if shape[2] == 1 else shape[1:]
    return shape


def _require_shape(path: Path | Url, found: tuple[int, ...], shape: tuple[int, int]) -> None:
    if found != tuple(shape):
        raise CubeFormatError(
            f"{path}: expected a mask of the cube's size {tuple(shape)}, got {found}. "
            "Is it the mask of another cube, or transposed?"
        )


def _require_finite(path: Path | Url, labels: Array, unknown: npt.NDArray[np.bool_]) -> None:
    if labels.dtype.kind == "f" and not np.isfinite(labels[~unknown]).all():
        raise CubeFormatError(
            f"{path}: expected finite labels, got NaN or infinity. Write 0 where nothing is labelled, or "
            "name the values that mean unknown in `ignore_values`."
        )


def _require_black_zero(path: Path | Url, labels: Array) -> None:
    """Raise an error for a TIFF with a palette in which some other index than 0 is black, or 0 is not."""
    if isinstance(path, Path) and (path.is_dir() or path.suffix.lower() not in tiff.FORMAT.suffixes):
        return
    black = tiff.black_indices(path)
    if black is None:
        return
    if not np.array_equal(np.isin(labels, black), labels == 0):
        raise CubeFormatError(
            f"{path}: expected a palette in which index 0 alone is black, got black for the indices "
            f"{black[:5]}. Pass `anomaly_values=[…]` with the indices that mean an anomaly."
        )


def _among(labels: Array, values: Collection[float]) -> npt.NDArray[np.bool_]:
    """Return where labels are among some values; NaN is equal to NaN."""
    found = np.isin(labels, list(values)) if values else np.zeros(labels.shape, dtype=bool)
    return found | np.isnan(labels) if any(value != value for value in values) else found


def _all_but_zero(
    path: Path | Url, labels: Array, unknown: npt.NDArray[np.bool_], coloured: bool
) -> npt.NDArray[np.bool_]:
    """Return where known labels are not 0; negative labels are an error, several others are logged."""
    mask = np.asarray((labels != 0) & ~unknown)
    others = labels[mask]
    if len(others) and not (others == others[0]).all():
        values = np.unique(others)
        shown = [f"#{value:06x}" if coloured else f"{value:g}" for value in values[:10]]
        text = f"{', '.join(shown)}{', …' if len(values) > 10 else ''}"
    else:
        values, text = others[:1], ", ".join(f"{value:g}" for value in others[:1])
    if len(values) and values[0] < 0:
        raise CubeFormatError(
            f"{path}: expected labels from 0 on, where 0 is normal, got {text}. Pass `anomaly_values=[…]` to "
            "say which of them mean an anomaly, and `ignore_values=[…]` for those that mean unknown."
        )
    if len(values) > 1:
        _log_once(Path(path).parent, text, Path(path).name)
    return mask


_logged: set[tuple[Path, str]] = set()
"""Folders and labels of which the log speaks already: masks are read in every epoch."""


def _log_once(folder: Path, labels: str, name: str) -> None:
    """Log that all these labels count as anomalies, once for the masks of a folder that have them."""
    if (folder, labels) not in _logged:
        _logged.add((folder, labels))
        _log.warning(
            "%s: the labels %s are not 0 and all count as anomalies. If some of them do not, pass "
            "`anomaly_values=[…]`, and `ignore_values=[…]` for those that mean unknown; pictures in colour "
            "have to be saved as grey or indexed ones for that.",
            *(folder / name, labels),
        )
