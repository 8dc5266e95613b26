"""`CubeDataModule`: the base of all our Lightning data modules, with bands, splits and loaders."""

import inspect
import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, NamedTuple, Unpack

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import Cube, log_doubts
from cuvis_ai.data.loading.collate import collate_cubes
from cuvis_ai.data.loading.dataset import READ_ERRORS, CubeDataset, CubeItem, open_item
from cuvis_ai.data.loading.loader import CubeLoader
from cuvis_ai.data.loading.pixels import Window, bands_without_data
from cuvis_ai.data.loading.sampler import EpochSampler, rank_and_world_size
from cuvis_ai.data.options import CubeArguments, flat_signature, split_options
from cuvis_ai.data.sources.number_list import listed
from cuvis_ai.data.sources.read_scale import ReadScale
from cuvis_ai.data.split_facts import Anomalies, facts_of
from cuvis_ai.errors import ConfigError, CubeFormatError
from cuvis_ai.plain_types import check_arguments
from cuvis_ai.types import Batch

logger = logging.getLogger(__name__)


class SplitItems(NamedTuple):
    """The items of a data set by split; no pixel is in two of them."""

    train: Sequence[CubeItem] = ()
    """What statistics and gradients see."""
    val: Sequence[CubeItem] = ()
    """What is looked at after every epoch."""
    test: Sequence[CubeItem] = ()
    """What is looked at last."""


class CubeDataModule(LightningDataModule, ABC):
    """Serve batches of cubes for training, validation, test and prediction.

    A subclass says which items its splits hold (`find_items`); reading, conversion to float32, band
    selection, `valid`, batching, order and sharding are here. `setup` may be called by a Trainer or by
    hand, any number of times. Prediction goes over all items, in the order
    train, val, test; a split without items has no loader.

    Args:
        options: those of `LoadingOptions` and `ReadingOptions`, one by one.

    Raises:
        ConfigError: a value that is impossible; all of them are named at once.
    """

    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.__signature__ = flat_signature(cls.__init__)
        check_arguments(cls, strict=False)  # NaN stands for "no data" or "unknown"

    def __init__(self, **options: Unpack[CubeArguments]) -> None:
        super().__init__()
        # Evaluation shards are not padded, so that a rank may have nothing to look at.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.loading, self.reading = split_options(type(self), options)
        self.batch_size = self.loading.batch_size
        """As `loading` says, under the name that Lightning looks for."""
        self.one_split = False  # whether all splits are the same items
        self._datasets: dict[str, CubeDataset] = {}
        self._anomalies: dict[str, Anomalies] = {}
        self._context = 0
        self._share: tuple[int, int] | None = None

    @abstractmethod
    def find_items(self) -> SplitItems:
        """Return what each split holds, reading headers at most.

        Raises:
            DatasetNotFoundError: the data are not where they were looked for.
        """

    def in_file_order(self, items: Sequence[CubeItem]) -> Sequence[CubeItem]:
        """Return the items, or others with the same pixels, as they are read fastest one after the other."""
        return items

    def setup(self, stage: str | None = None) -> None:
        """Find the items and decide on the bands, once; every stage gets all splits.

        Raises:
            DatasetNotFoundError: the data are not where they were looked for.
            ConfigError: two splits share an item, all are empty, or a setting does not fit the data.
            CubeFormatError: the first cube cannot be read.
        """
        if self._datasets:
            return
        splits = self.find_items()
        everything = [*splits.train] if self.one_split else [*splits.train, *splits.val, *splits.test]
        if not everything:
            raise ConfigError(
                f"{type(self).__name__}: expected at least one item in train, val or test, got none. "
                "Name some in the splits."
            )
        counts = Counter(item.name for item in everything)
        if repeated := sorted(name for name, count in counts.items() if count > 1):
            raise ConfigError(
                f"{type(self).__name__}: expected every item in one split, got {repeated} more than once. "
                "Remove the repetition, or rename one of two cubes of one name."
            )
        reference = self._first_readable(everything)
        if reference.shape[2] == 1 and len({item.path for item in everything}) > 1:
            raise ConfigError(
                f"{type(self).__name__}: expected cubes of several bands, got files of one band such as "
                f"{reference.path}. If each holds a band of one scene, put them into one file: `gdalbuildvrt "
                "-separate scene.vrt …`, then `gdal_translate scene.vrt scene.tif`."
            )
        log_doubts(reference, self.reading.overruling())
        bands = self._with_data(splits.train, BandSelection.of(reference, self.reading))
        size = reference.shape[:2]
        statistics = self.in_file_order(splits.train)
        for split, items in {**splits._asdict(), "statistics": statistics, "predict": everything}.items():
            self._datasets[split] = CubeDataset(items, bands=bands, reading=self.reading, fallback_size=size)
        logger.info(
            "%s: %d training, %d validation, %d test items; %d of %d bands.",
            type(self).__name__,
            *(len(items) for items in splits),
            len(bands.kept),
            bands.n_bands,
        )
        if stage != "predict":
            for split in SplitItems._fields:
                self._anomalies[split] = Anomalies.of(self._datasets[split])
                self._anomalies[split].log(type(self).__name__, split)

    def facts(self) -> dict[str, str | int | float]:
        """Return the files, and of each split the pixels, the anomalies and their share, by name."""
        self.setup()
        return facts_of({split: self._datasets[split] for split in SplitItems._fields}, self._anomalies)

    def train_dataloader(self) -> CubeLoader:
        """Return the training cubes, shuffled by (seed, epoch); all ranks take as many batches.

        Raises:
            ConfigError: no item is in the training split.
        """
        if not self._dataset("train").items:
            raise ConfigError(
                f"{type(self).__name__}: expected at least one training item, got none. "
                "Put cubes into the training split, or only validate, test or predict."
            )
        return self._loader("train")

    def statistics_dataloader(self) -> CubeLoader:
        """Return the training cubes in order, each read by one rank once; for closed-form statistics.

        The next batch is read while one is used; training, which needs more memory, leaves that to workers.
        """
        return self._loader("statistics")

    def set_share(self, share: tuple[int, int] | None) -> None:
        """Let loaders made from now on serve (rank, number of ranks); None: what this process is."""
        self._share = share

    def val_dataloader(self) -> CubeLoader | list[Any]:
        """Return the validation cubes in order, or an empty list where there are none."""
        return self._loader("val") if self._dataset("val").items else []

    def test_dataloader(self) -> CubeLoader | list[Any]:
        """Return the test cubes in order, or an empty list where there are none."""
        return self._loader("test") if self._dataset("test").items else []

    def predict_dataloader(self) -> CubeLoader:
        """Return all cubes in order."""
        return self._loader("predict")

    def teardown(self, stage: str) -> None:
        """Log how many cubes could not be read."""
        if skipped := self.skipped:
            total = len(self._dataset("predict"))
            logger.warning(
                "%s: skipped %d of %d items: %s", type(self).__name__, len(skipped), total, skipped
            )

    @property
    def band_indices(self) -> list[int]:
        """Positions of the kept bands in the files, from 0."""
        return [int(band) for band in self._dataset("predict").bands.kept]

    @property
    def bands_without_data(self) -> list[int]:
        """Positions, from 0, of bands that were dropped since the training split has no data in them."""
        return list(self._dataset("predict").bands.without_data)

    @property
    def wavelengths(self) -> NDArray[np.float64] | None:
        """Centres of the kept bands in nm; None where the files have none."""
        return self._dataset("predict").bands.wavelengths

    @property
    def scale(self) -> ReadScale:
        """What the numbers of the batches stand for."""
        return self._dataset("predict").bands.scale

    @property
    def skipped(self) -> list[str]:
        """Names of the items that could not be read so far, with `on_error="skip"`."""
        names = {name for dataset in self._datasets.values() for name in dataset.skipped}
        return sorted(names)

    def read(self, item: CubeItem) -> Batch:
        """Return one item as a batch of one."""
        one = replace(self.reading, on_error="raise")
        return collate_cubes([CubeDataset([item], bands=self._dataset("predict").bands, reading=one)[0]])

    def set_context(self, pixels: int) -> None:
        """Let loaders that are made from now on add so many pixels on each side of tiles.

        They come with `core` False and end where the scene ends.
        """
        self._context = pixels

    def _loader(self, split: str, batch_size: int | None = None) -> CubeLoader:
        """The loader of a split, by default with the module's batch size."""
        dataset = self._dataset(split).with_context(self._context)
        seed = self.loading.seed
        if seed is None:
            seed = int(os.environ.get("PL_GLOBAL_SEED", "0"))
        rank, world_size = self._share or rank_and_world_size()
        trains = split == "train"
        sampler = EpochSampler(
            len(dataset), seed=seed, shuffle=trains, equal_shards=trains, rank=rank, world_size=world_size
        )
        return CubeLoader(
            dataset,
            batch_size=batch_size or self.batch_size,
            sampler=sampler,
            read_ahead=split == "statistics",
            num_workers=self.loading.num_workers,
            persistent_workers=self.loading.num_workers > 0,
            pin_memory=self._feeds_gpu(),
            collate_fn=partial(collate_cubes, pad=self.loading.pad),
            # Its own generator: an epoch must not move the global one, or a resumed run would differ.
            generator=torch.Generator().manual_seed(seed),
        )

    def _feeds_gpu(self) -> bool:
        """Whether a trainer will copy the batches to a GPU, which is faster from pinned memory."""
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"

    def _dataset(self, split: str) -> CubeDataset:
        self.setup()
        return self._datasets[split]

    def _with_data(self, items: Sequence[CubeItem], bands: BandSelection) -> BandSelection:
        """The bands but for those in which no training item has a measurement.

        They are looked for in the first rows; only bands without data there are looked for further.
        """
        empty = bands.kept
        for item in items:
            try:
                cube = open_item(item, self.reading)
                bands.check(cube)
                window = item.window or Window(0, 0, *cube.shape[:2])
                empty = bands_without_data(cube, window, empty, self.reading)
            except READ_ERRORS:  # reading the item raises it again, or skips the item
                continue
            if not len(empty):
                return bands
        if not items or len(empty) == len(bands.kept):
            return bands
        logger.warning(
            "%s: bands %s hold no data in the whole training split and count as bad bands.",
            *(type(self).__name__, listed(empty)),
        )
        return bands.without(empty)

    def _first_readable(self, items: Sequence[CubeItem]) -> Cube:
        """The cube that decides on the bands."""
        for item in items:
            try:
                return open_item(item, self.reading)
            except READ_ERRORS:
                if self.reading.on_error == "raise":
                    raise
        raise CubeFormatError(
            f"{type(self).__name__}: expected at least one readable cube, got none of {len(items)}. "
            'Look at one with `on_error="raise"`.'
        )


check_arguments(CubeDataModule, strict=False)
