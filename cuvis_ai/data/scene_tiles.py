"""One large scene in tiles."""

from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.data.folders import cube_name
from cuvis_ai.data.loading.dataset import CubeItem, OnError
from cuvis_ai.data.planes import plane_from_file
from cuvis_ai.data.tiles import TiledScene
from cuvis_ai.errors import DatasetNotFoundError


class SceneTiles(TiledScene):
    """Serve one scene in spatial tiles, no pixel of which is in two splits.

    Only the mask is held in memory: a tile's rows are read from the file when it is drawn, so that the
    scene may be larger than memory. Tiles with anomalies are spread over the splits.

    Args:
        path: the scene, in any format that `read_cube` knows.
        mask: its anomaly mask, in any format that `read_mask` knows; None: none, unless `mask_key` names
            one in the scene's own file.
        tile: height and width of a tile in pixels, or one number for both; at most the scene's.
        key: the cube's array in a file of several.
        mask_key: the mask's array in a file of several.
        anomaly_values: values of the mask that mean an anomaly, such as class numbers; None: all but 0.
        batch_size: tiles a batch.
        num_workers: processes that read ahead.
        fractions: shares of train, val and test, summing to 1.
        split_seed: of the deal of tiles without anomalies.
        max_batch_mb: what a batch of tiles may take, in MB of float32. Tiles of which a batch would take
            more are read in strips of rows, all of them in the tile's split; None: never.
        seed: of the training order; None takes `PL_GLOBAL_SEED`, else 0.
        bad_bands: positions to drop, from 0, in place of the header's; an empty list keeps all.
        wavelengths: band centres in nm of all bands, in place of the file's.
        no_data: value that stands for "no data", in place of the file's.
        saturation: level from which on a band counts as saturated.
        on_error: "raise" or "skip".

    Raises:
        ConfigError: a value that is impossible.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        mask: str | Path | None = None,
        tile: int | Sequence[int] = 64,
        key: str | None = None,
        mask_key: str | None = None,
        anomaly_values: Sequence[float] | None = None,
        batch_size: int = 4,
        num_workers: int = 0,
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
        split_seed: int = 0,
        max_batch_mb: float | None = 64,
        seed: int | None = None,
        bad_bands: Sequence[int] | None = None,
        wavelengths: Sequence[float] | None = None,
        no_data: float | None = None,
        saturation: float | None = None,
        on_error: OnError = "raise",
    ) -> None:
        super().__init__(
            tile=tile,
            fractions=fractions,
            split_seed=split_seed,
            max_batch_mb=max_batch_mb,
            batch_size=batch_size,
            num_workers=num_workers,
            seed=seed,
            bad_bands=bad_bands,
            wavelengths=wavelengths,
            no_data=no_data,
            saturation=saturation,
            on_error=on_error,
        )
        self.path = Path(path)
        self.mask = None if mask is None else Path(mask)
        self.key = key
        self.mask_key = mask_key
        self.anomaly_values = anomaly_values

    def find_scene(self) -> CubeItem:
        """Return the scene with its mask.

        Raises:
            DatasetNotFoundError: the scene or its mask is not there.
        """
        scene = _existing(self.path, "path")
        mask_file = None if self.mask_key is None else scene
        if self.mask is not None:
            mask_file = _existing(self.mask, "mask")
        mask = None
        if mask_file is not None:
            mask = plane_from_file(mask_file, key=self.mask_key, anomalous=self.anomaly_values)
        return CubeItem(name=cube_name(scene), path=scene, key=self.key, mask=mask)


def _existing(path: Path, argument: str) -> Path:
    absolute = path.expanduser().absolute()
    if not absolute.exists():
        raise DatasetNotFoundError(
            f"SceneTiles: expected `{argument}` to name a file, got no such file: {absolute}. "
            "Correct the path."
        )
    return absolute
