"""Scores of a scene, strip by strip with the context that windows need, whatever computes them.

It needs no torch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.errors import GraphError
from cuvis_ai.pipeline.scene_reader import SceneReader

STRIP_BYTES = 64 << 20
"""What a strip takes as float32, its context included, unless a strip would have fewer rows than that."""

Pixels = TypeVar("Pixels")
"""What is read of a strip and its context."""


@dataclass(frozen=True, kw_only=True)
class StripScorer(ABC, Generic[Pixels]):
    """Computes scores for windows of scenes.

    Attributes:
        halo: how many pixels away a score depends on the cube; None: on all of it.
    """

    halo: int | None

    @abstractmethod
    def channels(self, reader: SceneReader) -> int:
        """Return how many channels the scores have."""

    def refitted(self, refit: Any, reader: SceneReader) -> Self:
        """Return a scorer whose statistics are fitted to all pixels of a scene, where there are some."""
        raise GraphError(
            f"{reader.cube.path}: expected a graph to be fitted to the scene, got another scorer."
        )

    @abstractmethod
    def _read(self, reader: SceneReader, strip: Window) -> Pixels:
        """Return a strip and its context."""

    @abstractmethod
    def _score(self, reader: SceneReader, strip: Window, pixels: Pixels) -> NDArray[np.float32]:
        """Return the scores (h, w, k) of the strip, NaN at invalid pixels."""

    def strips(self, reader: SceneReader) -> list[Window]:
        """Return the strips of rows in which a scene is scored; it is one where the graph sees all of it."""
        h, w = reader.cube.shape[:2]
        if self.halo is None:
            return [reader.whole]
        in_all = STRIP_BYTES // (4 * self._grown(reader, reader.whole).width * len(reader.bands.kept))
        rows = max(1, self.halo, in_all - 2 * self.halo)
        return [Window(top, 0, min(rows, h - top), w) for top in range(0, h, rows)]

    def scores(
        self, reader: SceneReader, strips: Iterable[Window]
    ) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        """Yield strips and their scores (h, w, k), NaN at invalid pixels; the next is read meanwhile.

        Raises:
            GraphError: the scene holds no data in bands that the graph needs.
            CubeFormatError: it cannot be read, or holds no data at all.
        """
        for number, (strip, scores) in enumerate(self._scored(reader, list(strips))):
            if not number and np.isnan(scores).all():
                reader.require_data()
            yield strip, scores

    def _scored(
        self, reader: SceneReader, strips: Sequence[Window]
    ) -> Iterator[tuple[Window, NDArray[np.float32]]]:
        if len(strips) == 1:  # nothing to read meanwhile; starting a thread costs as much as a small scene
            yield strips[0], self._score(reader, strips[0], self._read(reader, strips[0]))
            return
        with ThreadPoolExecutor(1) as thread:
            ahead: tuple[Window, Future[Pixels]] | None = None
            for strip in chain(strips, (None,)):
                following = None if strip is None else (strip, thread.submit(self._read, reader, strip))
                if ahead is not None:
                    yield ahead[0], self._score(reader, ahead[0], ahead[1].result())
                ahead = following

    def _grown(self, reader: SceneReader, strip: Window) -> Window:
        return reader.around(strip, self.halo or 0)

    def _core(self, reader: SceneReader, strip: Window) -> tuple[slice, slice]:
        """Return where a strip is in what is read of it and its context."""
        grown = self._grown(reader, strip)
        return strip.seen_from(grown.top, grown.left).slices
