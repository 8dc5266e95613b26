"""How batches reach the two phases: each sample once for statistics, none where no cube is read."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from typing import Any, Protocol, cast, runtime_checkable

from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from cuvis_ai.errors import ConfigError, GraphError


@runtime_checkable
class SharesStatistics(Protocol):
    """A data module that says how its training data are best read once, each sample by one rank."""

    def statistics_dataloader(self) -> Iterable[Any]:
        """This rank's share, in any order and batches."""


@runtime_checkable
class ReadsContext(Protocol):
    """A data module whose tiles can hold pixels around them, with `core` False."""

    def set_context(self, pixels: int) -> None:
        """Let loaders that are made from now on add so many pixels on each side, as far as the scene goes."""


def require_data_module(where: str, datamodule: object) -> None:
    """Raise a `GraphError` that says where, unless it is Lightning's data module."""
    if not isinstance(datamodule, LightningDataModule):
        raise GraphError(f"{where}: expected a LightningDataModule, got {type(datamodule).__name__}.")


@contextmanager
def context_read(datamodule: LightningDataModule, pixels: int) -> Iterator[None]:
    """Let loaders that are made inside add so many pixels around tiles, if the data module can."""
    if not isinstance(datamodule, ReadsContext):
        yield
        return
    datamodule.set_context(pixels)
    try:
        yield
    finally:
        datamodule.set_context(0)


@runtime_checkable
class ServesShares(Protocol):
    """A data module that can serve the share of a process that is no rank of a run."""

    def set_share(self, share: tuple[int, int] | None) -> None:
        """Let loaders made from now on serve (rank, number of ranks); None: what this process is."""


@runtime_checkable
class ExplainsInvalid(Protocol):
    """A data set that knows why its samples have no valid pixel."""

    def why_all_invalid(self) -> str:
        """Return, in words, what leaves the data set without a valid pixel."""


def why_no_pixel(loader: object) -> str:
    """Return, as a sentence, what leaves a loader's batches without a valid pixel, as far as it says."""
    dataset = getattr(loader, "dataset", None)
    if isinstance(dataset, ExplainsInvalid):
        return f"The reason: {dataset.why_all_invalid()}."
    return (
        "Likely causes: the training set is empty, its `valid` mask is False everywhere, or every pixel has "
        "a NaN or infinite band."
    )


class CountedBatches(LightningDataModule):
    """Another data module's batches, as bare numbers in the stages in which no cube is read.

    Args:
        inner: the data module.
        train: whether training cubes are read.
        val: whether validation cubes are.
        context: pixels around a tile that the graph's windows see.
    """

    def __init__(self, inner: LightningDataModule, *, train: bool, val: bool, context: int = 0) -> None:
        super().__init__()
        self.inner = inner
        self.context = context
        self.allow_zero_length_dataloader_with_multiple_devices = (
            inner.allow_zero_length_dataloader_with_multiple_devices
        )
        self.reads = {"train": train, "val": val}
        for hook in ("prepare_data", "teardown", "state_dict", "load_state_dict"):
            setattr(self, hook, getattr(inner, hook))

    def setup(self, stage: str) -> None:
        """As the inner one, which sees the same trainer."""
        self.inner.trainer = self.trainer
        self.inner.setup(stage)

    def train_dataloader(self) -> Iterable[Any]:
        """The training batches, or as many numbers."""
        with context_read(self.inner, self.context):
            loader: Iterable[Any] = self.inner.train_dataloader()
        return loader if self.reads["train"] else _numbers_like(loader)

    def val_dataloader(self) -> Iterable[Any]:
        """The validation batches, or one number if there are any, on this rank or another."""
        has_val = is_overridden("val_dataloader", self.inner)
        with context_read(self.inner, self.context):
            loader: Iterable[Any] = _one_loader(self.inner.val_dataloader()) if has_val else []
        # All ranks ask together; one without cubes still takes part when sketches are put together.
        exists = any_rank_has_batches(cast(Trainer, self.trainer), loader)
        return loader if self.reads["val"] and sized_and_filled(loader) else _numbers(int(exists))


def _numbers_like(loader: Iterable[Any]) -> Iterable[Any]:
    """Return as many numbers as a loader has batches, for Lightning to share out if it would the loader.

    A loader without a length is returned as it is.
    """
    n = length_of(loader)
    if n is None:
        return loader
    if n and isinstance(getattr(loader, "sampler", None), DistributedSampler):
        # Batches of this rank already: a sampler of that class is left alone.
        own = DistributedSampler(range(n), num_replicas=1, rank=0, shuffle=False)  # type: ignore[arg-type,var-annotated]
        return DataLoader(range(n), batch_size=None, sampler=own)  # type: ignore[arg-type]
    return _numbers(n)


def _numbers(n: int) -> Iterable[int]:
    return DataLoader(range(n), batch_size=None) if n else []  # type: ignore[arg-type]


def statistics_batches(trainer: Trainer, datamodule: LightningDataModule, context: int = 0) -> Iterable[Any]:
    """Return one pass over this rank's training data, no sample left out or given twice.

    Args:
        trainer: knows the ranks.
        datamodule: has the data.
        context: pixels around a tile that the pass must see.
    """
    with context_read(datamodule, context):
        return _share(datamodule, trainer.global_rank, trainer.world_size)


def shard_batches(
    datamodule: LightningDataModule, rank: int, n_shards: int, context: int = 0
) -> Iterable[Any]:
    """Return one pass over a share of the training data, outside of a run; as `statistics_batches`.

    Args:
        datamodule: has the data.
        rank: the share, from 0.
        n_shards: how many there are.
        context: pixels around a tile that the pass must see.
    """
    with context_read(datamodule, context):
        if not isinstance(datamodule, ServesShares):
            if n_shards > 1 and isinstance(datamodule, SharesStatistics):
                raise GraphError(
                    f"{type(datamodule).__name__}: expected `set_share` beside `statistics_dataloader`, by "
                    "which a share is read outside of a run, got none. Add it, or read all as one shard."
                )
            return _share(datamodule, rank, n_shards)
        datamodule.set_share((rank, n_shards))
        try:
            return _share(datamodule, rank, n_shards)
        finally:
            datamodule.set_share(None)


def _share(datamodule: LightningDataModule, rank: int, world_size: int) -> Iterable[Any]:
    loader: Any = datamodule.train_dataloader()
    if not sized_and_filled(loader):
        raise GraphError(
            "training data: expected at least one batch, got none. Check the data module's splits."
        )
    if isinstance(datamodule, SharesStatistics) and _says_how_last(datamodule):
        return datamodule.statistics_dataloader()
    if world_size == 1:
        return cast(Iterable[Any], loader)
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        raise GraphError(
            f"statistical phase in {world_size} shares: expected a DataLoader over a map-style "
            f"data set, which can be shared out, got {type(loader).__name__}."
        )
    n_items = len(cast(Sized, loader.dataset))
    return DataLoader(
        loader.dataset,
        batch_size=loader.batch_size,
        sampler=range(rank, n_items, world_size),
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
    )


def _says_how_last(datamodule: SharesStatistics) -> bool:
    """Whether no subclass has changed the training data without saying how they are read for statistics."""
    names = ("statistics_dataloader", "train_dataloader")
    return next(name for kind in type(datamodule).__mro__ for name in names if name in vars(kind)) == names[0]


def length_of(loader: object) -> int | None:
    """Return a loader's number of batches; None where it does not say, as over an iterable data set."""
    try:
        return len(cast(Sized, loader))
    except TypeError:
        return None


def sized_and_filled(loader: object) -> bool:
    """Return whether a loader has batches, as far as it says; one without a length may have some."""
    return loader is not None and length_of(loader) != 0


def _one_loader(loader: Any) -> Any:
    """Return a data module's validation loader, or raise a `GraphError` if it gives several."""
    if isinstance(loader, list | tuple | Mapping) and len(loader) > 1:
        raise GraphError(
            f"validation data: expected one loader, got {len(loader)}. Put the data sets into one, such as a "
            f"`torch.utils.data.ConcatDataset`."
        )
    return loader


def any_rank_has_batches(trainer: Trainer, loader: object) -> bool:
    """Return whether some rank's loader has batches; with few cubes a rank may have none."""
    return bool(trainer.strategy.reduce_boolean_decision(sized_and_filled(loader), all=False))


def check_monitored_values(trainer: Trainer, source: CountedBatches) -> None:
    """Raise a `ConfigError`, before data are read, if a callback waits for a validation value in vain."""
    if any_rank_has_batches(trainer, source.val_dataloader()):
        return
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # set by a connector
        monitor = callback.monitor if isinstance(callback, EarlyStopping | ModelCheckpoint) else None
        if monitor and monitor.startswith(("val/", "val_")):
            raise ConfigError(
                f"{type(callback).__name__}: monitor={monitor!r}: expected a validation set, the data "
                f"module has none. Add one, or monitor 'train/loss/total'."
            )
