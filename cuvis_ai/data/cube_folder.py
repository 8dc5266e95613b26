"""A folder of cubes with masks beside them."""

import logging
from collections.abc import Sequence
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
from cuvis_ai.data.mask_sources import MaskSource, coco_image_ids, coco_mask, coco_masks
from cuvis_ai.data.masks import read_mask
from cuvis_ai.data.options import CubeArguments
from cuvis_ai.data.splits import divided, with_unlisted_as_normal
from cuvis_ai.errors import DatasetNotFoundError

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
    file-name order, from 0.

    The mask of cube `a` is, first found first taken: `a_mask.*` beside it; `a.*` or `a_mask.*` in masks/
    beside it, or in masks/<split>/ beside the split's folder; the array `mask_key` of its own file; the
    image of its name in the COCO JSON beside it, or beside the split's folder. A cube without a mask
    counts as free of anomalies in a split where others have one, with a log line.

    Args:
        data_dir: the folder.
        splits: the split file, as a path from `data_dir`: `{"train": [names or numbers], "val": […],
            "test": […]}`.
        key: the cube's array in files of several.
        mask_key: the mask's array in mask files of several; without mask files, in the cube's own file.
        anomaly_values: values of mask files that mean an anomaly, such as class numbers; None: all but 0.
        annotations: the COCO JSON, as a path from `data_dir`.
        normal_categories: categories of the annotations, by id or name, that are no anomalies.
        options: those of `LoadingOptions` and `ReadingOptions`, one by one.

    Raises:
        ConfigError: a value that is impossible.
    """

    def __init__(
        self,
        data_dir: str | Path,
        *,
        splits: str | Path = SPLIT_FILE,
        key: str | None = None,
        mask_key: str | None = None,
        anomaly_values: Sequence[float] | None = None,
        annotations: str | Path | None = None,
        normal_categories: Sequence[int | str] = (),
        **options: Unpack[CubeArguments],
    ) -> None:
        super().__init__(**options)
        self.data_dir = Path(data_dir)
        self.splits = splits
        self.key = key
        self.mask_key = mask_key
        self.anomaly_values = anomaly_values
        self.annotations = annotations
        self.normal_categories = tuple(normal_categories)

    def find_items(self) -> SplitItems:
        """Return the folder's cubes by split.

        Raises:
            DatasetNotFoundError: there is no such folder, or no cube in it.
        """
        root = require_folder(self.data_dir, "CubeFolder", "Correct `data_dir`.")
        folders = _split_folders(root)
        if folders:
            found = SplitItems(**{split: self._items(root, folder) for split, folder in folders.items()})
        else:
            found = self._divided(root, self._items(root, root))
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
        return divided(items, range(len(items)), split_file)

    def _items(self, root: Path, folder: Path) -> list[CubeItem]:
        """The cubes of one folder with their masks."""
        paths = find_cubes(folder)
        names = _names(root, folder)
        mask_folders = [folder / "masks"]
        if folder != root:
            mask_folders.append(root / "masks" / folder.name)
        annotated = self._annotated(root, folder, names)
        items = []
        for path, name in zip(paths, names, strict=True):
            mask_file = find_mask(path, mask_folders) or (None if self.mask_key is None else path)
            mask: MaskSource | None = annotated.get(name)
            if mask_file is not None:
                mask = partial(read_mask, mask_file, key=self.mask_key, anomalous=self.anomaly_values)
                mask = mask_in_cube_file(mask, self.reading.axes) if mask_file == path else mask
            items.append(CubeItem(name=name, path=path, key=self.key, mask=mask))
        return items

    def _annotated(self, root: Path, folder: Path, names: list[str]) -> dict[str, MaskSource]:
        """Masks from the COCO JSON, by the names of the cubes that it lists."""
        beside = None if self.annotations is not None else find_annotations(folder, None, "CubeFolder")
        path = beside or find_annotations(root, self.annotations, "CubeFolder")
        if path is None:
            return {}
        normal = self.normal_categories
        candidates = names
        if beside is None and folder != root:  # an image may be of another split
            candidates = [name for other in _split_folders(root).values() for name in _names(root, other)]
        images = coco_image_ids(candidates, coco_masks(path, normal).images)
        return {
            name: partial(coco_mask, path, image, normal)
            for name, image in zip(candidates, images, strict=True)
            if image is not None
        }


def _split_folders(root: Path) -> dict[str, Path]:
    """The folders train, val and test, where they exist."""
    return {split: root / split for split in SplitItems._fields if (root / split).is_dir()}


def _names(root: Path, folder: Path) -> list[str]:
    """Names of a folder's cubes, in the order of `find_cubes`."""
    prefix = "" if folder == root else f"{folder.name}/"
    return [f"{prefix}{cube_name(path)}" for path in find_cubes(folder)]
