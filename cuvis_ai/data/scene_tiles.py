"""One large scene in tiles."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Unpack

from cuvis_ai.data.folders import cube_name
from cuvis_ai.data.loading.dataset import CubeItem, mask_in_cube_file
from cuvis_ai.data.mask_sources import MaskSource
from cuvis_ai.data.masks import read_mask, require_distinct
from cuvis_ai.data.options import FileArguments
from cuvis_ai.data.tiles import TiledScene
from cuvis_ai.errors import DatasetNotFoundError
from cuvis_ai.paths import StrPath


class SceneTiles(TiledScene):
    """Serve one scene in spatial tiles, no pixel of which is in two splits.

    Only the mask is held in memory: a tile's rows are read from the file when it is drawn, so that the
    scene may be larger than memory. Tiles with anomalies are spread over the splits.

    Args:
        path: the scene, in any format that `read_cube` knows.
        mask: its anomaly mask, in any format that `read_mask` knows; None: none, unless `mask_key` names
            one in the scene's own file.
        tile: height and width of a tile in pixels, or one number for both; at most the scene's. None: the
            scene as a whole, which goes to the first split that has a fraction.
        key: the cube's array in a file of several.
        mask_key: the mask's array in a file of several.
        anomaly_values: values of the mask that mean an anomaly, such as class numbers; None: all but 0.
        ignore_values: values of the mask that mean "unknown", such as 255. These pixels count as invalid,
            that is, they enter no statistic, loss, metric or picture, and a prediction has NaN there; for a
            whole map, predict without this argument.
        fractions: shares of train, val and test, summing to 1. None: all pixels are trained on, validated and
            tested, as for a detector that is fitted without labels to the scene which it scores and draws.
        split_seed: of the deal of tiles without anomalies.
        max_batch_mb: what a batch of tiles may take, in MB of float32. Tiles of which a batch would take
            more are read in strips of rows, all of them in the tile's split; None: never.
        options: those of `LoadingOptions`, but for `pad`, and of `ReadingOptions`.

    Raises:
        ConfigError: a value that is impossible.

    Example:
        >>> tiles = SceneTiles("scene.hdr", mask="mask.npy", tile=10)
        >>> tiles.setup()
        >>> next(iter(tiles.val_dataloader()))["cube"].shape[1:]
        torch.Size([8, 10, 10])
    """

    def __init__(
        self,
        path: StrPath,
        *,
        mask: StrPath | None = None,
        tile: int | Sequence[int] | None = 64,
        key: str | None = None,
        mask_key: str | None = None,
        anomaly_values: Sequence[float] | None = None,
        ignore_values: Sequence[float] | None = None,
        fractions: Sequence[float] | None = (0.6, 0.2, 0.2),
        split_seed: int = 0,
        max_batch_mb: float | None = 64,
        **options: Unpack[FileArguments],
    ) -> None:
        super().__init__(
            tile=tile, fractions=fractions, split_seed=split_seed, max_batch_mb=max_batch_mb, **options
        )
        self.path = Path(path)
        self.mask = None if mask is None else Path(mask)
        self.key = key
        self.mask_key = mask_key
        require_distinct("SceneTiles", anomaly_values, ignore_values)
        self.anomaly_values = anomaly_values
        self.ignore_values = ignore_values

    def find_scene(self) -> CubeItem:
        """Return the scene with its mask.

        Raises:
            DatasetNotFoundError: the scene or its mask is not there.
        """
        scene = _existing(self.path, "path")
        mask_file = None if self.mask_key is None else scene
        if self.mask is not None:
            mask_file = _existing(self.mask, "mask")
        mask: MaskSource | None = None
        if mask_file is not None:
            mask = partial(
                read_mask,
                mask_file,
                key=self.mask_key,
                anomalous=self.anomaly_values,
                ignored=self.ignore_values,
            )
            if mask_file == scene:
                mask = mask_in_cube_file(mask, self.reading.axes)
        return CubeItem(name=cube_name(scene), path=scene, key=self.key, mask=mask)


def _existing(path: Path, argument: str) -> Path:
    absolute = path.expanduser().absolute()
    if not absolute.exists():
        raise DatasetNotFoundError(
            f"SceneTiles: expected `{argument}` to name a file, got no such file: {absolute}. "
            "Correct the path."
        )
    return absolute
