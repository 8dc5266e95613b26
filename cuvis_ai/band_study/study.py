"""How many bands a camera needs, and which: chosen on halves of scenes, judged on the others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import torch

from cuvis_ai.band_study.scene_quarters import HALVES, Detector, Half, Scene, merged
from cuvis_ai.band_study.study_rows import BandStudy, StudyRow
from cuvis_ai.data.folders import cube_name
from cuvis_ai.data.options import ReadingOptions, SceneArguments, refuse
from cuvis_ai.errors import ConfigError, DatasetNotFoundError, GraphError
from cuvis_ai.functional.band_choice import (
    class_distance,
    even_bands,
    explained_share,
    explaining_bands,
    separating_bands,
    varying_bands,
)
from cuvis_ai.functional.detection import Ranking
from cuvis_ai.functional.spectral_regions import region
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.prediction.scene_files import find_scenes
from cuvis_ai.pipeline.scene_masks import MaskOptions, masks_of
from cuvis_ai.stats import MomentsByClass

METHODS = ("separability", "explained", "uniform", "variance")
NEAR = 2
"""Bands within which two choices count as the same."""


def study_bands(
    scenes: StrPath | Sequence[StrPath],
    k: Sequence[int] = (5, 10, 15, 30),
    *,
    methods: Sequence[str] | None = None,
    masks: MaskOptions | None = None,
    **options: Unpack[SceneArguments],
) -> BandStudy:
    """Return what k bands are worth, for several k, beside evenly spaced bands and all bands.

    Moments are taken in one pass; where masks are known a second one scores RX on halves of the scenes, in
    bands chosen on the opposite halves.

    Args:
        scenes: as `graph.predict` takes them; all with the same bands.
        k: numbers of bands.
        methods: of "separability", "explained", "uniform", "variance"; by default the first with masks, else
            the second, and the third.
        masks: where masks are; by default the files `<scene>_mask.*` beside the scenes.
        options: those of `read_batch`.

    Raises:
        DatasetNotFoundError: a scene is not there.
        ConfigError: a k or a method is impossible.
        GraphError: the scenes' bands differ, or k exceeds the rank.

    Example:
        >>> study = study_bands("scene.hdr", k=[2, 4], masks=MaskOptions(mask="mask.npy"))
        >>> [(row.method, row.k) for row in study.rows]
        [('separability', 2), ('separability', 4), ('uniform', 2), ('uniform', 4), ('all', 8)]
    """
    reading = ReadingOptions(**options)
    refuse("study_bands", reading.problems())
    paths = {cube_name(path): path for path in find_scenes(scenes)}
    try:
        sources: Mapping[str, Any] = masks_of(paths, masks or MaskOptions(), reading.axes)
    except DatasetNotFoundError:
        if masks is not None:
            raise
        sources = {}
    read = [Scene(path, sources.get(name), reading) for name, path in paths.items()]
    _require_same_bands(read)
    whole = merged([quarter for scene in read for quarter in scene.quarters])
    labelled = bool(whole.anomalous.count)
    if methods is None:
        methods = ("separability" if labelled else "explained", "uniform")
    counts = sorted(set(k))
    _check(counts, methods, whole.channels, labelled=labelled)
    return _Judge(read, whole, counts, methods).study()


def _require_same_bands(scenes: Sequence[Scene]) -> None:
    first = scenes[0]
    for scene in scenes[1:]:
        if scene.wavelengths != first.wavelengths or list(scene.bands.kept) != list(first.bands.kept):
            raise GraphError(
                f"{scene.cube.path}: expected the bands of {first.cube.path}, got others. Study scenes of "
                "one sensor together."
            )


def _check(counts: Sequence[int], methods: Sequence[str], channels: int, *, labelled: bool) -> None:
    if not counts or counts[0] < 1 or counts[-1] > channels:
        raise ConfigError(f"k: expected numbers from 1 to the {channels} bands, got {list(counts)}.")
    if not methods or set(methods) - set(METHODS):
        raise ConfigError(f"methods: expected some of {', '.join(METHODS)}, got {list(methods)}.")
    if "separability" in methods and not labelled:
        raise ConfigError("methods: 'separability' needs masks with anomalies, got none. Use 'explained'.")


class _Judge:
    """Chooses bands from parts of the data and judges them by others."""

    def __init__(
        self, scenes: Sequence[Scene], whole: MomentsByClass, counts: Sequence[int], methods: Sequence[str]
    ) -> None:
        self.scenes, self.whole, self.counts, self.methods = scenes, whole, counts, methods
        self.halves = {
            half: merged([scene.quarters[i] for scene in scenes for i in half.own]) for half in HALVES
        }

    def study(self) -> BandStudy:
        keys = [(method, k) for method in self.methods for k in self.counts]
        keys.append(("all", self.whole.channels))
        halves = [
            half
            for half, moments in self.halves.items()
            if "separability" not in self.methods or (moments.anomalous.count and moments.normal.count > 1)
        ]
        chosen = {(half, *key): self._choose(self.halves[half], *key) for half in halves for key in keys}
        rankings = self._rankings(chosen) if self.whole.anomalous.count else {}
        *of_methods, of_all = (
            self._row(key, self._choose(self.whole, *key), chosen, rankings.get(key, [])) for key in keys
        )
        rows = [
            row
            for method in self.methods
            for row in _marked([one for one in of_methods if one.method == method])
        ]
        nm = self.scenes[0].wavelengths
        return BandStudy(
            rows=(*rows, of_all),
            moments=self.whole,
            kept=tuple(int(i) for i in self.scenes[0].bands.kept),
            wavelengths=None if nm is None else tuple(nm),
        )

    def _choose(self, moments: MomentsByClass, method: str, k: int) -> list[int]:
        if method == "separability":
            normal, anomalous = moments.both("study_bands")
            return separating_bands(normal.covariance(), anomalous.mean - normal.mean, k)
        if method == "all":
            return list(range(k))
        if method == "uniform":
            nm = self.scenes[0].wavelengths
            return even_bands(torch.tensor(nm or list(range(moments.channels)), dtype=torch.float64), k)
        choose = explaining_bands if method == "explained" else varying_bands
        return choose(moments.whole().covariance(), k)

    def _rankings(
        self, chosen: Mapping[tuple[Half, str, int], list[int]]
    ) -> dict[tuple[str, int], list[Ranking]]:
        found: dict[tuple[str, int], list[Ranking]] = {}
        for scene in self.scenes:
            other = {half: merged([scene.quarters[i] for i in half.other]).whole() for half in HALVES}
            detectors = {key: Detector.of(other[key[0]], bands) for key, bands in chosen.items()}
            for (_, method, k), one in scene.rankings(detectors).items():
                found.setdefault((method, k), []).append(one)
        return found

    def _row(
        self,
        key: tuple[str, int],
        bands: list[int],
        chosen: Mapping[tuple[Half, str, int], list[int]],
        rankings: Sequence[Ranking],
    ) -> StudyRow:
        bands = sorted(bands)
        nm = self.scenes[0].wavelengths
        at = None if nm is None else tuple(round(nm[band], 2) for band in bands)
        by_half = {half: found for (half, *of), found in chosen.items() if tuple(of) == key}
        opposite = [
            (by_half[a], by_half[b])
            for a in by_half for b in by_half if a.own == b.other and a.own < b.own
        ]  # fmt: skip
        explained = [
            explained_share(
                merged([s.quarters[i] for s in self.scenes for i in half.other]).whole().covariance(), b
            )
            for half, b in by_half.items()
        ]
        distance = None
        if self.whole.anomalous.count:
            normal, anomalous = self.whole.both("study_bands")
            distance = class_distance(normal.covariance(), anomalous.mean - normal.mean, bands)
        areas, precisions = ([one[i] for one in rankings] for i in (0, 1))
        return StudyRow(
            method=key[0], k=key[1],
            bands=tuple(int(self.scenes[0].bands.kept[band]) for band in bands),
            wavelengths=at, regions=None if at is None else tuple(region(one) for one in at),
            explained=explained_share(self.whole.whole().covariance(), bands),
            explained_held_out=float(np.mean(explained)) if explained else float("nan"),
            separability=distance,
            auroc=_mean(areas), auroc_error=_error(areas),
            average_precision=_mean(precisions), average_precision_error=_error(precisions),
            stability=float(np.mean([_agreement(a, b) for a, b in opposite])) if opposite else float("nan"),
            sufficient=False,
        )  # fmt: skip


def _marked(rows: Sequence[StudyRow]) -> list[StudyRow]:
    """Return the rows of a method, the smallest k within one standard error of the best one marked."""
    judged = [row for row in rows if row.auroc is not None]
    if judged:
        best = max(judged, key=lambda row: row.auroc or 0.0)
        least = (best.auroc or 0.0) - (best.auroc_error or 0.0)
        enough = next(row for row in judged if (row.auroc or 0.0) >= least)
    else:
        best = max(rows, key=lambda row: row.explained_held_out)
        enough = next(row for row in rows if row.explained_held_out >= best.explained_held_out - 0.01)
    return [replace(row, sufficient=row is enough) for row in rows]


def _agreement(first: Sequence[int], second: Sequence[int]) -> float:
    """Return the share of bands that have a partner of their own within two bands, in spectral order."""
    a, b = sorted(first), sorted(second)
    i = j = common = 0
    while i < len(a) and j < len(b):
        if abs(a[i] - b[j]) <= NEAR:
            common, i, j = common + 1, i + 1, j + 1
        elif a[i] < b[j]:
            i += 1
        else:
            j += 1
    return common / max(len(a), 1)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _error(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
