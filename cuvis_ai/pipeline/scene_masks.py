"""The masks that scenes are judged by."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cuvis_ai.data.folders import find_mask
from cuvis_ai.data.loading.dataset import mask_in_cube_file
from cuvis_ai.data.mask_sources import MaskSource, no_anomaly
from cuvis_ai.data.masks import read_mask, require_distinct
from cuvis_ai.errors import ConfigError, DatasetNotFoundError
from cuvis_ai.paths import StrPath

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """Where masks are, and what their values mean.

    Example:
        >>> MaskOptions(masks="truth", anomaly_labels=[16]).anomaly_labels
        [16]
    """

    mask: StrPath | None = None
    """The file of the mask, for one scene."""
    masks: StrPath | None = None
    """The folder of masks that are called as their scenes are, where files beside the scenes come first; or
    the file of one scene's mask."""
    mask_key: str | None = None
    """The mask's array in a file of several; in the scene's own file, where it has no mask file."""
    anomaly_labels: Sequence[float] = ()
    """Values that mean an anomaly; none given: all but 0."""
    ignore_labels: Sequence[float] = ()
    """Values that mean "unknown": these pixels do not count."""

    def __post_init__(self) -> None:
        require_distinct("evaluate", self.anomaly_labels, self.ignore_labels)


def masks_of(
    scenes: Mapping[str, Path], options: MaskOptions, axes: str | None = None
) -> dict[str, MaskSource]:
    """Return the mask of each scene, unread; one without a mask counts as free of anomalies, as is logged.

    Args:
        scenes: their files by name; a mask is called like its scene's name, or that with `_mask`.
        options: where masks are.
        axes: the user's order of the scenes' axes, which masks in the scenes' own files follow.

    Raises:
        ConfigError: one mask for several scenes.
        DatasetNotFoundError: a file or folder is not there, or no scene has a mask.
    """
    if options.masks is not None and options.mask is None and Path(options.masks).expanduser().is_file():
        options = replace(options, mask=options.masks, masks=None)
    if options.mask is not None and len(scenes) != 1:
        raise ConfigError(
            f"evaluate: expected one scene for one mask, got {len(scenes)} scenes. Put their masks into a "
            "folder, each called as its scene is, and pass it as `masks`."
        )
    given = [_existing(Path(path)) for path in (options.mask, options.masks) if path is not None]
    read = partial(
        read_mask,
        key=options.mask_key,
        anomalous=options.anomaly_labels or None,
        ignored=options.ignore_labels or None,
    )
    found: dict[str, MaskSource] = {}
    for name, scene in scenes.items():
        folders = [scene.parent / "masks"] if options.masks is None else given[-1:]
        file = given[0] if options.mask is not None else find_mask(scene.with_name(f"{name}.npy"), folders)
        if file is not None:
            found[name] = partial(read, file)
        elif options.mask_key is not None:
            found[name] = mask_in_cube_file(partial(read, scene), axes)
    if not found:
        raise DatasetNotFoundError(
            f"evaluate: expected masks, got none for {', '.join(list(scenes)[:5])}. Pass `mask` with a file, "
            "`masks` with a folder of files that are called as the scenes are, or `mask_key` with the "
            "array's name in the scenes' own files."
        )
    without = [name for name in scenes if name not in found]
    if without:
        logger.warning(
            "%d of %d scenes have no mask and count as free of anomalies: %s",
            *(len(without), len(scenes), ", ".join(without[:5])),
        )
    return {name: found.get(name, no_anomaly) for name in scenes}


def _existing(path: Path) -> Path:
    path = path.expanduser()
    if not path.exists():
        raise DatasetNotFoundError(
            f"{path}: expected masks, got no such file or folder. Correct `mask` or `masks`."
        )
    return path
