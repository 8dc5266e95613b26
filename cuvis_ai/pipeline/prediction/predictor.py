"""The loop over scenes and their strips: what a process has to do, does, and leaves to the others."""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.cube import Cube, log_doubts, open_cube
from cuvis_ai.data.folders import cube_name
from cuvis_ai.data.loading.pixels import Window
from cuvis_ai.data.opened_cube import is_cube_source, opened
from cuvis_ai.errors import ConfigError, CubeFormatError, GraphError
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.prediction.done_share import Share
from cuvis_ai.pipeline.prediction.identity import (
    NEIGHBOURS,
    differences,
    identity_in,
    identity_of,
    require_same,
)
from cuvis_ai.pipeline.prediction.journal import Journal, one_at_a_time, remove_left
from cuvis_ai.pipeline.prediction.neighbours import with_neighbours
from cuvis_ai.pipeline.prediction.pixel_progress import Advance, pixel_progress
from cuvis_ai.pipeline.prediction.scene_files import find_scenes
from cuvis_ai.pipeline.prediction.scene_outputs import (
    ScenePrediction,
    facts_path,
    interpreted,
    write_outputs,
)
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipeline.prediction.standing_maps import prepare_folder
from cuvis_ai.pipeline.prediction.strip_scorer import StripScorer
from cuvis_ai.pipeline.scene_reader import SceneReader
from cuvis_ai.pipeline.trained_bands import TrainedBands

logger = logging.getLogger(__name__)

SCENE_ERRORS = (CubeFormatError, GraphError, OSError, MemoryError)
"""What ends the prediction of one scene, but not that of the others."""


AnyScorer = TypeVar("AnyScorer", bound=StripScorer[Any])


@dataclass(frozen=True, kw_only=True)
class Predictor(Generic[AnyScorer]):
    """A graph as scenes need it.

    Attributes:
        scorer: computes scores.
        bands: those of training.
        threshold: above which a pixel is detected; None: unknown and not needed.
        graph: name and checksum, for the identity of what is written.
        settings: what is written.
        refit: fits statistics to each scene; None: they stay as they are.
    """

    scorer: AnyScorer
    bands: TrainedBands
    threshold: float | None
    graph: Mapping[str, Any]
    settings: PredictionSettings
    refit: Callable[..., Any] | None = None

    def predictions(
        self,
        source: Any,
        out: StrPath | None,
        in_processes: "Callable[[Predictor[AnyScorer], Sequence[Path], Path], Share]",
    ) -> list[ScenePrediction]:
        """Return the predictions of scenes, written to a folder if one is given.

        Args:
            source: scenes as `find_scenes` takes them; or one cube in memory.
            out: the folder.
            in_processes: does the work in several processes, if so many `devices` are asked for.
        """
        if out is None and self.settings.devices > 1:
            raise ConfigError(
                "predict: expected a folder for the maps of several processes, got none. Pass `out=`."
            )
        if is_cube_source(source) and not isinstance(source, str | os.PathLike):
            if out is not None:
                raise ConfigError(
                    "predict: expected the file of a scene, whose maps are written, got a cube in memory. "
                    "Name its file, or leave `out` out and write what is returned."
                )
            return self._in_memory([source])
        scenes = find_scenes(source)
        if out is None:
            return self._in_memory(scenes)
        self.prepare(scenes, Path(out))
        alone = self.settings.devices == 1
        share = self.share(scenes, Path(out)) if alone else in_processes(self, scenes, Path(out))
        return share.all_done(scenes)

    def _in_memory(self, sources: Sequence[Any]) -> list[ScenePrediction]:
        """Return the predictions of scenes, from files or from memory, written nowhere."""
        predictions = []
        for reader in self._placed([self._reader(opened(one, self.settings.reading)) for one in sources]):
            scorer = self.scorer_of(reader)
            parts = [values for _, values in scorer.scores(reader, scorer.strips(reader))]
            scores = parts[0] if len(parts) == 1 else np.concatenate(parts)
            name = cube_name(reader.cube.path)
            predictions.append(interpreted(name, scores, reader, self.threshold, self.settings))
        return predictions

    def scorer_of(self, reader: SceneReader) -> AnyScorer:
        """Return what scores a scene."""
        if self.refit is None:
            return self.scorer
        reader.require_data()
        return self.scorer.refitted(self.refit, reader)

    def prepare(self, scenes: Sequence[Path], folder: Path) -> None:
        """Make the folder, and refuse, remove or leave what stands there.

        Raises:
            FileExistsError: maps of a scene stand in the folder and are neither replaced nor gone on from.
            ConfigError: the folder cannot be written to, or is one of the scenes' own.
        """
        standing = prepare_folder(folder, scenes, self.settings)
        # Shards may be at work by now, with the neighbours that stood there before.
        alone = self.settings.resume and self.settings.shard[1] == 1
        if alone and standing and self.scorer.halo and self.refit is None:
            self._clear_of_other_neighbours(scenes, standing)

    def share(self, scenes: Sequence[Path], folder: Path, *, show_progress: bool = True) -> Share:
        """Write the maps of scenes, as far as they are this process's share."""
        failed: dict[Path, str] = {}
        jobs = list(self._jobs(scenes, folder, failed))
        done = []
        with pixel_progress(len(scenes), sum(job.pixels for job in jobs), show=show_progress) as advance:
            for job in jobs:
                try:
                    if (prediction := job.run(advance)) is not None:
                        done.append(prediction)
                        logger.info("%s: %s", job.path, _summary(prediction))
                except SCENE_ERRORS as err:
                    failed[job.path] = str(err)
                    logger.warning("%s: not predicted: %s", job.path, err)
                advance(0, 1)
        return Share(done, failed)

    def _clear_of_other_neighbours(
        self, scenes: Sequence[Path], standing: Mapping[Path, Sequence[Path]]
    ) -> None:
        """Remove what says that scenes are done whose windows see other pixels beyond the border by now."""
        readers, _ = self._readers(scenes, lambda *_: None)
        for scene in filter(readers.__contains__, standing):
            identity = identity_of(scene, readers[scene], self.graph, self.settings)
            for path in standing[scene]:
                found = identity_in(path)
                if found is not None and differences(found, identity) == [NEIGHBOURS]:
                    path.unlink()
                    logger.info("%s: done again, since its neighbours are others by now", scene)

    def _readers(
        self, scenes: Sequence[Path], doubts: Callable[[Cube, Collection[str]], None]
    ) -> tuple[dict[Path, SceneReader], dict[Path, str]]:
        """Return readers of scenes, and why others have none."""
        reading = self.settings.reading
        readers: dict[Path, SceneReader] = {}
        errors: dict[Path, str] = {}
        for path in scenes:
            try:
                cube = open_cube(path, axes=reading.axes, wavelengths=reading.wavelengths)
                doubts(cube, reading.overruling())
                readers[path] = self._reader(cube)
            except SCENE_ERRORS as err:
                errors[path] = str(err)
        return dict(zip(readers, self._placed(list(readers.values())), strict=True)), errors

    def _jobs(self, scenes: Sequence[Path], folder: Path, failed: dict[Path, str]) -> Iterator["_Job"]:
        """Yield what there is to do for each scene: this process' share of the strips of all."""
        i, n = self.settings.shard
        readers, errors = self._readers(scenes, log_doubts)
        counted = 0
        for path in scenes:
            if path in errors:
                if counted % n == i - 1:  # one process says it
                    failed[path] = errors[path]
                    logger.warning("%s: not predicted: %s", path, errors[path])
                counted += 1
                continue
            reader = readers[path]
            strips = self.scorer.strips(reader)
            own = [strip for at, strip in enumerate(strips, counted) if at % n == i - 1]
            counted += len(strips)
            if own:
                yield _Job(
                    predictor=self, path=path, reader=reader, strips=strips, own=own, folder=folder,
                    identity=identity_of(path, reader, self.graph, self.settings),
                )  # fmt: skip

    def _placed(self, readers: Sequence[SceneReader]) -> Sequence[SceneReader]:
        """Return readers that see past the scenes' borders, unless each has statistics of its own."""
        return readers if self.refit is not None else with_neighbours(readers, self.scorer.halo)

    def _reader(self, cube: Any) -> SceneReader:
        settings = self.settings
        return SceneReader.of(cube, self.bands, settings.reading, match_bands=settings.match_bands)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One scene, and the strips of it that this process does."""

    predictor: Predictor[Any]
    path: Path
    reader: SceneReader
    strips: Sequence[Window]
    own: Sequence[Window]
    folder: Path
    identity: Mapping[str, Any]

    @property
    def pixels(self) -> int:
        """How many pixels this process does."""
        return sum(strip.height * strip.width for strip in self.own)

    def run(self, advance: Advance) -> ScenePrediction | None:
        """Do what is not done yet; return the prediction if this process was the one that finished the scene.

        Raises:
            ConfigError: what stands there is another prediction's.
            CubeFormatError, GraphError, OSError: the scene cannot be read or scored, or the disk is full.
        """
        name = cube_name(self.path)
        facts = facts_path(self.folder, name)
        if facts.exists():
            require_same(facts, identity_in(facts), self.identity)
            remove_left(self.folder / name, facts)
            advance(self.pixels, 0)
            return None
        scorer = self.predictor.scorer_of(self.reader)
        if len(self.strips) == 1:
            return self._at_once(scorer, facts, advance)
        shape = (*self.reader.cube.shape[:2], scorer.channels(self.reader))
        journal = Journal(self.folder / name, shape, self.identity)
        finished = journal.finished()
        left = [strip for strip in self.own if strip.top not in finished]
        advance(self.pixels - sum(strip.height * strip.width for strip in left), 0)
        for strip, scores in scorer.scores(self.reader, left):
            journal.write(strip, scores)
            advance(strip.height * strip.width, 0)
        with one_at_a_time(self.folder / name, facts):
            # The last process that ends a strip finds all of them, and writes the maps.
            if not facts.exists() and len(journal.finished()) < len(self.strips):
                return None
            prediction = None if facts.exists() else self._written(journal.scores())
            journal.remove()
        return prediction

    def _at_once(self, scorer: StripScorer[Any], facts: Path, advance: Advance) -> ScenePrediction | None:
        """Predict a scene of one strip, which no other process shares, without a journal."""
        ((_, scores),) = scorer.scores(self.reader, self.own)
        advance(self.pixels, 0)
        with one_at_a_time(self.folder / cube_name(self.path), facts):
            return None if facts.exists() else self._written(scores)

    def _written(self, scores: NDArray[np.float32]) -> ScenePrediction:
        """Write what is asked for of a scene's scores."""
        predictor, name = self.predictor, cube_name(self.path)
        prediction = interpreted(name, scores, self.reader, predictor.threshold, predictor.settings)
        files = write_outputs(prediction, scores, self.reader, predictor.settings, self.folder, self.identity)
        # A long list of predictions is to hold no map in memory, nor the removed journal on the disk.
        return replace(prediction, scores=open_cube(files[0]).values, mask=None, files=files)


def _summary(prediction: ScenePrediction) -> str:
    h, w, _ = prediction.scores.shape
    n = None if prediction.detections is None else len(prediction.detections)
    found = "" if n is None else f", {n} detection{'' if n == 1 else 's'}"
    strongest = f", the strongest {prediction.detections[0].peak:.4g}" if prediction.detections else ""
    return f"{h}x{w} pixels{found}{strongest} -> {prediction.files[0]}"
