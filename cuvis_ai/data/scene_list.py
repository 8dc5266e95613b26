"""Scenes of which every pixel is fitted to, in strips."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Unpack

from cuvis_ai.data.datamodule import CubeDataModule, SplitItems
from cuvis_ai.data.folders import cube_name
from cuvis_ai.data.loading.dataset import CubeItem, open_item
from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.data.options import FileArguments
from cuvis_ai.data.tiles import strips
from cuvis_ai.errors import ConfigError
from cuvis_ai.paths import StrPath

STRIP_MB = 64
"""What a strip takes at most, in MB of float32, but for a strip of one row."""


class SceneList(CubeDataModule):
    """Serve all pixels of unlabelled scenes for training, none for validation or test.

    Scenes may differ in size and be larger than memory: they are read in strips of rows, one a batch.

    Args:
        paths: the scenes, of one sensor, in any format that `read_cube` knows.
        options: those of `LoadingOptions`, but for `pad` and `batch_size`, and of `ReadingOptions`.

    Raises:
        ConfigError: no scene, or a value that is impossible.

    Example:
        >>> scenes = SceneList(["scene.hdr"])
        >>> scenes.setup()
        >>> next(iter(scenes.train_dataloader()))["cube"].shape[1]
        8
    """

    def __init__(self, paths: Sequence[StrPath], **options: Unpack[FileArguments]) -> None:
        options.setdefault("batch_size", 1)
        super().__init__(**options)
        self.paths = [Path(path) for path in paths]
        if not self.paths:
            raise ConfigError("SceneList: expected at least one scene, got none. Name some in `paths`.")

    def find_items(self) -> SplitItems:
        """Return the strips of all scenes."""
        return SplitItems(train=[strip for path in self.paths for strip in self._strips(path)])

    def _strips(self, path: Path) -> list[CubeItem]:
        scene = CubeItem(name=cube_name(path), path=path)
        h, w, c = open_item(scene, self.reading).shape
        windows = strips(Window(0, 0, h, w), max(1, int(STRIP_MB * 1e6 / (4 * c * w))))
        named = [(f"{scene.name}[{window.top}:{window.top + window.height}]", window) for window in windows]
        return [replace(scene, name=name, window=window) for name, window in named]
