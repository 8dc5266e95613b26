"""Cubes in memory, by split."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from cuvis_ai.data.cube import Cube
from cuvis_ai.data.datamodule import CubeDataModule, SplitItems
from cuvis_ai.data.loading.dataset import CubeItem
from cuvis_ai.data.mask_sources import mask_in_memory
from cuvis_ai.data.memory_cube import is_memory_cube
from cuvis_ai.data.options import CubeArguments
from cuvis_ai.errors import ConfigError


class ArrayCubes(CubeDataModule):
    """Serve cubes that are in memory.

    A cube is a NumPy array (h, w, c), an xarray DataArray with dimensions in any order, or an opened `Cube`;
    what DataArrays and files say of wavelengths, bad bands and no data counts. Each argument takes one
    cube, or several.

    Args:
        train: what statistics and gradients see.
        val: what is looked at after every epoch.
        test: what is looked at last.
        train_masks: a mask (h, w) for each training cube, not 0 where there is an anomaly; values that are
            masked (`numpy.ma`) are unknown.
        val_masks: likewise.
        test_masks: likewise.
        options: those of `LoadingOptions` and `ReadingOptions`, one by one.

    Raises:
        ConfigError: something is no cube, or there are other numbers of masks and cubes.

    Example:
        >>> data = ArrayCubes(np.random.rand(20, 30, 8), val=np.random.rand(3, 20, 30, 8), batch_size=1)
        >>> [batch["cube"].shape for batch in data.train_dataloader()]
        [torch.Size([1, 8, 20, 30])]
        >>> len(data.val_dataloader())
        3
    """

    def __init__(
        self,
        train: Any,
        val: Any = (),
        test: Any = (),
        *,
        train_masks: Any = None,
        val_masks: Any = None,
        test_masks: Any = None,
        **options: Unpack[CubeArguments],
    ) -> None:
        super().__init__(**options)
        splits = {"train": (train, train_masks), "val": (val, val_masks), "test": (test, test_masks)}
        self._items = SplitItems(
            **{split: _items(split, cubes, masks) for split, (cubes, masks) in splits.items()}
        )

    def find_items(self) -> SplitItems:
        """Return the cubes, called `train_0`, `train_1`, …."""
        return self._items


def _items(split: str, cubes: Any, masks: Any) -> list[CubeItem]:
    listed = _listed(split, cubes, 3)
    if wrong := [type(cube).__name__ for cube in listed if not is_memory_cube(cube)]:
        raise ConfigError(
            f"ArrayCubes: expected arrays (h, w, c), DataArrays or cubes in `{split}`, got {wrong[0]}. "
            "`CubeFolder` and `SceneTiles` serve files."
        )
    truths = [None] * len(listed) if masks is None else _masks(f"{split}_masks", masks, len(listed))
    return [
        CubeItem(
            name=f"{split}_{i}",
            path=Path(f"{split}_{i}"),
            array=cube,
            mask=None if truth is None else partial(mask_in_memory, truth),
        )
        for i, (cube, truth) in enumerate(zip(listed, truths, strict=True))
    ]


def _masks(argument: str, given: Any, n: int) -> list[Any]:
    """Return where masks are not 0; one that is masked stays so."""
    listed = [
        mask if isinstance(mask, np.ma.MaskedArray) else np.asarray(mask)
        for mask in _listed(argument, given, 2)
    ]
    if len(listed) != n or any(mask.ndim != 2 or mask.dtype.kind not in "biuf" for mask in listed):
        shapes = ", ".join(f"{mask.dtype} {mask.shape}" for mask in listed)
        raise ConfigError(
            f"ArrayCubes: expected a mask (h, w) for each of {n} cubes in `{argument}`, got "
            f"{shapes or 'none'}. Give an array of zeros for a cube without anomalies."
        )
    return [mask != 0 for mask in listed]


def _listed(argument: str, given: Any, ndim: int) -> list[Any]:
    """Return one thing, or several, as several."""
    if getattr(given, "ndim", None) == ndim or isinstance(given, Cube):
        return [given]
    if not isinstance(given, Iterable):
        raise ConfigError(
            f"ArrayCubes: expected arrays in `{argument}`, got {type(given).__name__}. Give one, or a list."
        )
    return list(given)
