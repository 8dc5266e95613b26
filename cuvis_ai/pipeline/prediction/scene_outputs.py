"""What is written of one finished scene: maps, detections, a picture, and last the facts about them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cuvis_ai import __version__
from cuvis_ai.data.cube_array import CubeArray
from cuvis_ai.pipeline.prediction.detections import Detection, as_csv, as_geojson, find_detections
from cuvis_ai.pipeline.prediction.map_writer import Map, replacing
from cuvis_ai.pipeline.prediction.settings import PredictionSettings
from cuvis_ai.pipeline.prediction.writers import WRITERS
from cuvis_ai.pipeline.scene_reader import SceneReader

NOT_MEASURED = 255
"""Of masks: a pixel without data."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScenePrediction:
    """A predicted scene."""

    name: str
    """The scene's."""
    scores: NDArray[np.float32] | CubeArray
    """(h, w, k), NaN where nothing was measured; read when indexed, if the map was written."""
    mask: NDArray[np.uint8] | None
    """(h, w): 1 above the threshold, 0 below, 255 without data; None: written, or not asked for."""
    detections: tuple[Detection, ...] | None
    """The strongest first; None: not asked for."""
    threshold: float | None
    """The score above which a pixel is detected; None: unknown and not needed."""
    files: tuple[Path, ...] = ()
    """What was written, the map of scores first."""


def interpreted(
    name: str,
    scores: NDArray[np.float32],
    reader: SceneReader,
    threshold: float | None,
    settings: PredictionSettings,
) -> ScenePrediction:
    """Return scores with the mask and the detections that are asked for."""
    mask = detections = None
    if settings.needs_threshold:
        assert threshold is not None
        above = np.asarray(scores[..., 0] > threshold)
        mask = above.astype(np.uint8)
        mask[np.isnan(scores[..., 0])] = NOT_MEASURED
        if settings.detections:
            kept = [int(band) for band in reader.bands.kept]
            found = find_detections(
                scores[..., 0], above, lambda rows, columns: reader.cube.values[rows, columns, kept],
                reader.cube.georeference, min_pixels=settings.min_pixels, top=settings.top,
            )  # fmt: skip
            detections = tuple(found)
    return ScenePrediction(
        name=name,
        scores=scores,
        mask=mask if settings.mask else None,
        detections=detections,
        threshold=threshold,
    )


def write_outputs(
    prediction: ScenePrediction,
    scores: NDArray[np.float32],
    reader: SceneReader,
    settings: PredictionSettings,
    folder: Path,
    identity: Mapping[str, Any],
) -> tuple[Path, ...]:
    """Write a scene's files and return their paths; its facts come last, and say that all are there."""
    stem = folder / prediction.name
    files = [_write_map(stem, "scores", scores, float("nan"), reader, settings, identity)]
    if prediction.mask is not None:
        mask = prediction.mask[..., None]
        files.append(_write_map(stem, "detected", mask, NOT_MEASURED, reader, settings, identity))
    if prediction.detections is not None:
        wavelengths = reader.bands.wavelengths
        centres = None if wavelengths is None else wavelengths.tolist()
        geojson = as_geojson(prediction.detections, reader.cube.georeference, centres)
        for ending, text in ((".geojson", geojson), (".csv", as_csv(prediction.detections))):
            files.append(stem.with_name(f"{prediction.name}_detections{ending}"))
            _write(files[-1], text.encode())
    if settings.picture and scores.shape[2] == 1:
        files.append(stem.with_name(f"{prediction.name}.png"))
        _write(files[-1], _picture(prediction, scores[..., 0], reader))
    facts = {
        **identity,
        "threshold": prediction.threshold,
        "detections": None if prediction.detections is None else len(prediction.detections),
        "valid_pixels": int(np.isfinite(scores[..., 0]).sum()),
        "files": [file.name for file in files],
    }
    _write(facts_path(folder, prediction.name), json.dumps(facts, indent=1, sort_keys=True).encode())
    return tuple(files)


def facts_path(folder: Path, name: str) -> Path:
    """Return where the facts about a finished scene are."""
    return folder / f"{name}_prediction.json"


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as (part,):
        part.write_bytes(content)


def _write_map(
    stem: Path,
    layer: str,
    values: NDArray[Any],
    no_data: float,
    reader: SceneReader,
    settings: PredictionSettings,
    identity: Mapping[str, Any],
) -> Path:
    writer = WRITERS[settings.format]
    path = stem.with_name(f"{stem.name}_{layer}{writer.suffix}")
    k = values.shape[2]
    writer.write(
        path,
        Map(
            values=values,
            band_names=(layer,) if k == 1 else tuple(f"{layer} {i}" for i in range(1, k + 1)),
            no_data=no_data,
            georeference=reader.cube.georeference,
            description=f"{layer} of {reader.cube.path.name} by graph {identity['graph']} ({__version__})",
        ),
    )
    return path


def _picture(prediction: ScenePrediction, scores: NDArray[np.float32], reader: SceneReader) -> bytes:
    # Matplotlib takes a second to import.
    from cuvis_ai.pipeline.prediction.map_picture import draw_map

    figure = draw_map(reader, scores, prediction.threshold, prediction.detections or ())
    content = BytesIO()
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def digest(parts: Mapping[str, bytes]) -> str:
    """Return a checksum of named bytes."""
    total = hashlib.sha256()
    for name, content in sorted(parts.items()):
        total.update(f"{name}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()[:16]
