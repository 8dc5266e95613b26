"""A folder of cubes with masks beside them."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

from cuvis_ai.data.datamodule import CubeDataModule, SplitItems
from cuvis_ai.data.folders import (
    SPLIT_FILE,
    cube_name,
    find_annotations,
    find_cubes,
    find_mask,
    require_folder,
)
from cuvis_ai.data.loading.dataset import CubeItem, mask_in_cube_file
from cuvis_ai.data.mask_sources import MaskSource, coco_sources
from cuvis_ai.data.masks import read_mask, require_distinct
from cuvis_ai.data.options import CubeArguments
from cuvis_ai.data.splits import divided, numbers_of, with_unlisted_as_normal
from cuvis_ai.errors import DatasetNotFoundError
from cuvis_ai.paths import StrPath

logger = logging.getLogger(__name__)

_LAYOUT = (
    "Put cubes into the folder itself, or into train/, val/ and test/ inside it; an ENVI cube is found "
    "by its header. For one large scene use `SceneTiles`."
)


class CubeFolder(CubeDataModule):
    """Serve a folder of cubes in any format that `read_cube` knows.

    Splits are the folders train/, val/ and test/ (missing ones are empty); without them, those of the
    split file; without that, the cubes in file-name order, 60 / 20 / 20 %. A cube's name is its file name
    without ending, with its split's folder in front where there is one; its number is its place in
    file-name order, from 0, or, where all names are numbers, its name. Numbers in file names are sorted as
    numbers. Dark and white references beside a scan (`DARKREF_…`, `WHITEREF_…`) are no cubes.

    The mask of cube `a` is, first found first taken: `a_mask.*` beside it; `a.*` or `a_mask.*` in masks/
    beside it, or in masks/<split>/ beside the split's folder; the array `mask_key` of its own file; the
    image of its name in the COCO JSON beside it, or beside the split's folder; the log says how many
    annotations are used, and which images have no cube. A cube without a mask
    counts as free of anomalies in a split where others have one, with a log line.

    Args:
        data_dir: the folder.
        splits: the split file, as a path from `data_dir`: `{"train": [names or numbers], "val": […],
            "test": […]}`.
        key: the cube's array in files of several.
        mask_key: the mask's array in mask files of several; without mask files, in the cube's own file.
        anomaly_values: values of mask files that mean an anomaly, such as class numbers; None: all but 0.
        ignore_values: values of mask files that mean "unknown", such as 255. These pixels count as invalid,
            that is, they enter no statistic, loss, metric or picture, and a prediction has NaN there; for a
            whole map, predict without this argument.
        annotations: the COCO JSON, as a path from `data_dir`.
        normal_categories: categories of the annotations, by id or name, that are no anomalies.
        options: those of `LoadingOptions` and `ReadingOptions`, one by one.

    Raises:
        ConfigError: a value that is impossible.

    Example:
        >>> folder = CubeFolder("Lentils", batch_size=1)
        >>> folder.setup()
        >>> [batch["name"] for batch in folder.val_dataloader()]
        [['lentils_003']]
    """

    def __init__(
        self,
        data_dir: StrPath,
        *,
        splits: StrPath = SPLIT_FILE,
        key: str | None = None,
        mask_key: str | None = None,
        anomaly_values: Sequence[float] | None = None,
        ignore_values: Sequence[float] | None = None,
        annotations: StrPath | None = None,
        normal_categories: Sequence[int | str] = (),
        **options: Unpack[CubeArguments],
    ) -> None:
        super().__init__(**options)
        self.data_dir = Path(data_dir)
        self.splits = splits
        self.key = key
        self.mask_key = mask_key
        require_distinct("CubeFolder", anomaly_values, ignore_values)
        self.anomaly_values = anomaly_values
        self.ignore_values = ignore_values
        self.annotations = annotations
        self.normal_categories = tuple(normal_categories)

    def find_items(self) -> SplitItems:
        """Return the folder's cubes by split.

        Raises:
            DatasetNotFoundError: there is no such folder, or no cube in it.
        """
        root = require_folder(self.data_dir, "CubeFolder", "Correct `data_dir`.")
        folders = _split_folders(root)
        annotated = self._annotated(root, list(folders.values()) or [root])
        if folders:
            items = {split: self._items(root, folder, annotated) for split, folder in folders.items()}
            found = SplitItems(**items)
        else:
            found = self._divided(root, self._items(root, root, annotated))
        if not any(found):
            raise DatasetNotFoundError(f"CubeFolder: expected cubes in {root}, got none. {_LAYOUT}")
        return with_unlisted_as_normal(found)

    def _divided(self, root: Path, items: list[CubeItem]) -> SplitItems:
        """The items of a folder without split folders."""
        split_file = root / self.splits
        if not split_file.is_file() and split_file != root / SPLIT_FILE:
            raise DatasetNotFoundError(
                f"CubeFolder: expected `splits` to name a split file, got no such file: {split_file}. "
                "Give its path from `data_dir`."
            )
        return divided(items, numbers_of([item.name for item in items]), split_file)

    def _items(self, root: Path, folder: Path, annotated: Mapping[str, MaskSource]) -> list[CubeItem]:
        """The cubes of one folder with their masks."""
        mask_folders = [folder / "masks"]
        if folder != root:
            mask_folders.append(root / "masks" / folder.name)
        read = partial(
            read_mask, key=self.mask_key, anomalous=self.anomaly_values, ignored=self.ignore_values
        )
        items = []
        for path, name in zip(find_cubes(folder), _names(root, folder), strict=True):
            mask_file = find_mask(path, mask_folders) or (None if self.mask_key is None else path)
            mask = annotated.get(name) if mask_file is None else partial(read, mask_file)
            if mask is not None and mask_file == path:
                mask = mask_in_cube_file(mask, self.reading.axes)
            items.append(CubeItem(name=name, path=path, key=self.key, mask=mask))
        return items

    def _annotated(self, root: Path, folders: list[Path]) -> dict[str, MaskSource]:
        """Masks from COCO JSONs, by the names of the cubes; one in a split's folder is that split's own."""
        names = {folder: _names(root, folder) for folder in folders}
        own = (
            {}
            if self.annotations is not None
            else {
                folder: path
                for folder in folders
                if folder != root and (path := find_annotations(folder, None, "CubeFolder"))
            }
        )
        masks: dict[str, MaskSource] = {}
        shared = find_annotations(root, self.annotations, "CubeFolder") if len(own) < len(folders) else None
        if shared is not None:
            everywhere = [name for folder in folders for name in names[folder]]  # an image is of any split
            masks = coco_sources(shared, everywhere, self.normal_categories)
        for folder, path in own.items():
            masks = {name: mask for name, mask in masks.items() if name not in names[folder]}
            masks |= coco_sources(path, names[folder], self.normal_categories)
        return masks


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders train, val and test, where they exist."""
    return {split: root / split for split in SplitItems._fields if (root / split).is_dir()}


def _names(root: Path, folder: Path) -> list[str]:
    """Names of a folder's cubes, in the order of `find_cubes`."""
    prefix = "" if folder == root else f"{folder.name}/"
    return [f"{prefix}{cube_name(path)}" for path in find_cubes(folder)]
