"""Cubert's Lentils data set, or one of its shape: cubes or a session with COCO annotations."""

import logging
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

from cuvis_ai.data.coco_masks import Category
from cuvis_ai.data.coco_record import Id as ImageId
from cuvis_ai.data.datamodule import CubeDataModule, SplitItems
from cuvis_ai.data.folders import (
    SPLIT_FILE,
    cube_name,
    find_annotations,
    find_cubes,
    require_folder,
)
from cuvis_ai.data.formats import cu3s
from cuvis_ai.data.loading.dataset import CubeItem
from cuvis_ai.data.mask_sources import MaskSource, coco_image_ids, coco_mask, coco_masks, log_use
from cuvis_ai.data.options import CubeArguments
from cuvis_ai.data.sources.name_order import by_number
from cuvis_ai.data.splits import Id, divided, numbers_of, with_unlisted_as_normal
from cuvis_ai.errors import DatasetNotFoundError, import_extra
from cuvis_ai.paths import StrPath

logger = logging.getLogger(__name__)

REPOSITORY = "cubert-gmbh/XMR_Lentils"
"""The data set's name on the Hugging Face hub."""

_ADVICE = (
    "Pass `data_dir` or set the environment variable DATA_ROOT to the folder that holds the cubes; or pass "
    f"`download=True` to fetch {REPOSITORY} from the Hugging Face hub (about 0.9 GB) into it; or use "
    "`IndianPines` from cuvis_ai.data.indian_pines, which needs no folder."
)


class LentilsAnomaly(CubeDataModule):
    """Serve a folder of cubes, or of .cu3s sessions, with their COCO annotations.

    Annotations are looked for in `annotations`, else in the one COCO JSON of the folder, or beside each
    session under its name. Splits come from the ids given here, else from the folder's `splits.json`, else
    the cubes in file-name order are divided 60 / 20 / 20 %. An id is a cube's name, or its number: the
    image id of its annotation, a session's frame, or, in a folder without annotations, its place in
    file-name order, from 0, or its name where all names are numbers. A cube that the annotations do not
    list has no known anomalies: it counts as free of them in a split where others are annotated, with a log
    line.

    Args:
        data_dir: the folder; None takes the environment's `DATA_ROOT`, else ./data/Lentils.
        train_ids: cubes to train on.
        val_ids: cubes to validate on.
        test_ids: cubes to test on.
        annotations: the COCO JSON, as a path from `data_dir`.
        normal_categories: categories of the annotations, by id or name, that are no anomalies.
        download: fetch the data set in `prepare_data` when the folder holds no cube.
        options: those of `LoadingOptions` and `ReadingOptions`, one by one.

    Raises:
        ConfigError: a value that is impossible.

    Example:
        >>> lentils = LentilsAnomaly("Lentils", train_ids=[0, 1, 2], val_ids=[3], test_ids=[4])
        >>> lentils.setup()
        >>> batch = next(iter(lentils.train_dataloader()))
        >>> batch["cube"].shape, batch["mask"].shape
        (torch.Size([3, 61, 12, 16]), torch.Size([3, 12, 16]))
    """

    def __init__(
        self,
        data_dir: StrPath | None = None,
        *,
        train_ids: Sequence[Id] | None = None,
        val_ids: Sequence[Id] | None = None,
        test_ids: Sequence[Id] | None = None,
        annotations: StrPath | None = None,
        normal_categories: Sequence[Category] = (),
        download: bool = False,
        **options: Unpack[CubeArguments],
    ) -> None:
        super().__init__(**options)
        self.data_dir = Path(os.environ.get("DATA_ROOT", "./data/Lentils") if data_dir is None else data_dir)
        self.ids = {"train_ids": train_ids, "val_ids": val_ids, "test_ids": test_ids}
        self.annotations = annotations
        self.normal_categories = tuple(normal_categories)
        self.download = download

    def prepare_data(self) -> None:
        """Download the data set if that was asked for and the folder holds no cube.

        Raises:
            MissingExtraError: `download=True` without huggingface_hub.
        """
        folder = self.data_dir.expanduser().absolute()
        if not self.download or (folder.is_dir() and (find_cubes(folder) or _sessions(folder))):
            return
        hub = import_extra("huggingface_hub", "download", "LentilsAnomaly(download=True)")
        logger.info("Downloading %s to %s.", REPOSITORY, folder)
        hub.snapshot_download(repo_id=REPOSITORY, repo_type="dataset", local_dir=folder)

    def find_items(self) -> SplitItems:
        """Return the folder's cubes, or its sessions' frames, by split."""
        folder = require_folder(self.data_dir, "LentilsAnomaly", _ADVICE)
        numbered = self._cubes(folder) or self._frames(folder)
        if not numbered:
            raise DatasetNotFoundError(f"LentilsAnomaly: expected cubes in {folder}, got none. {_ADVICE}")
        items, numbers = zip(*numbered, strict=True)
        if not any(item.mask for item in items):
            logger.warning("LentilsAnomaly: no cube in %s is annotated; batches have no mask.", folder)
        return with_unlisted_as_normal(divided(items, numbers, folder / SPLIT_FILE, self.ids))

    def _cubes(self, folder: Path) -> list[tuple[CubeItem, Id | None]]:
        """The folder's cubes with their numbers."""
        paths = find_cubes(folder)
        names = [cube_name(path) for path in paths]
        annotations = find_annotations(folder, self.annotations, "LentilsAnomaly") if paths else None
        numbers: list[Id | None] = [*numbers_of(names)]
        if annotations is not None:
            numbers = _image_ids(names, annotations, self.normal_categories)
        return [
            (CubeItem(name=name, path=path, mask=self._mask(annotations, number)), number)
            for name, path, number in zip(names, paths, numbers, strict=True)
        ]

    def _frames(self, folder: Path) -> list[tuple[CubeItem, Id | None]]:
        """The frames of the folder's sessions; they have numbers where there is one session only."""
        sessions = _sessions(folder)
        frames: list[tuple[CubeItem, Id | None]] = []
        for session in sessions:
            beside = session.with_suffix(".json")
            annotations = None
            if self.annotations is not None or (len(sessions) == 1 and not beside.is_file()):
                annotations = find_annotations(folder, self.annotations, "LentilsAnomaly")
            elif beside.is_file():
                annotations = beside
            names = [f"{session.stem}_{frame:04d}" for frame in range(cu3s.n_measurements(session))]
            images: dict[str, ImageId | None] = dict.fromkeys(names)
            if annotations is not None:
                masks = coco_masks(annotations, self.normal_categories)
                images = {n: frame if frame in masks.images else None for frame, n in enumerate(names)}
                log_use(masks, images)
            for frame, (name, image) in enumerate(images.items()):
                mask = self._mask(annotations, image)
                item = CubeItem(name=name, path=session, key=str(frame), mask=mask)
                frames.append((item, frame if len(sessions) == 1 else None))
        return frames

    def _mask(self, annotations: Path | None, image: ImageId | None) -> MaskSource | None:
        if annotations is None or image is None:
            return None
        return partial(coco_mask, annotations, image, self.normal_categories)


def _sessions(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.cu3s"), key=by_number)


def _image_ids(names: Sequence[str], annotations: Path, normal: tuple[Category, ...]) -> list[ImageId | None]:
    """Each cube's image id: of the image of its name, else, for a converted session, its frame number."""
    masks = coco_masks(annotations, normal)
    images = masks.images
    found = coco_image_ids(names, images)
    for i, name in enumerate(names):
        frame = re.fullmatch(rf"{re.escape(annotations.stem)}_(\d{{4,}})", name)
        if found[i] is None and frame is not None and int(frame[1]) in images:
            found[i] = int(frame[1])
    log_use(masks, dict(zip(names, found, strict=True)))
    return found
