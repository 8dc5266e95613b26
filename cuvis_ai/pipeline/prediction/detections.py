"""Connected detections in a score map: how strong, how large, where."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cuvis_ai.data.sources.georeference import Georeference

Spectra = Callable[[slice, slice], NDArray[np.floating]]
"""Returns the spectra (h, w, c) of some rows and columns of a scene."""


@dataclass(frozen=True, kw_only=True)
class Detection:
    """A set of pixels above the threshold that touch at an edge or a corner."""

    peak: float
    """Its highest score."""
    pixels: int
    """How many they are."""
    row: float
    """Mean row, from 0."""
    column: float
    """Mean column, from 0."""
    position: tuple[float, float] | None
    """Map coordinates (x, y) of that centre; None without a georeference."""
    box: tuple[int, int, int, int]
    """First row and column, number of rows and of columns."""
    spectrum: tuple[float, ...]
    """Mean of its pixels' spectra, in the bands that the graph reads."""


def find_detections(
    scores: NDArray[np.float32],
    mask: NDArray[np.bool_],
    spectra: Spectra,
    georeference: Georeference | None,
    *,
    min_pixels: int = 1,
    top: int | None = None,
) -> list[Detection]:
    """Return the connected detections of a scene, the strongest first.

    Args:
        scores: (h, w).
        mask: (h, w), True above the threshold.
        spectra: gives the spectra of a part of the scene.
        georeference: where its pixels are on a map.
        min_pixels: smaller ones are left out.
        top: at most so many, the strongest; None for all.
    """
    from scipy import ndimage  # heavy; only detections need it

    labels, n = ndimage.label(mask, structure=np.ones((3, 3), dtype=bool))
    sizes = np.bincount(labels.ravel(), minlength=n + 1)
    peaks = np.full(n + 1, -np.inf)
    np.maximum.at(peaks, labels[mask], np.asarray(scores)[mask])
    boxes = ndimage.find_objects(labels)
    large = [i for i in range(1, n + 1) if sizes[i] >= min_pixels]
    strongest = sorted(large, key=lambda i: (-peaks[i], i))[:top]
    return [_detection(i, labels, boxes[i - 1], float(peaks[i]), spectra, georeference) for i in strongest]


def _detection(
    label: int,
    labels: NDArray[np.int32],
    box: tuple[slice, slice],
    peak: float,
    spectra: Spectra,
    georeference: Georeference | None,
) -> Detection:
    rows, columns = box
    inside = labels[box] == label
    at_rows, at_columns = np.nonzero(inside)
    row, column = rows.start + float(at_rows.mean()), columns.start + float(at_columns.mean())
    return Detection(
        peak=peak,
        pixels=int(inside.sum()),
        row=row,
        column=column,
        position=None if georeference is None else georeference.position(row, column),
        box=(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start),
        spectrum=tuple(spectra(rows, columns)[inside].mean(0, dtype=np.float64).tolist()),
    )


def as_geojson(
    detections: Sequence[Detection], georeference: Georeference | None, wavelengths: Sequence[float] | None
) -> str:
    """Return detections as a GeoJSON of points, in map coordinates, or (column, row) without a georeference.

    The member `crs` names the coordinate system, as GDAL and QGIS read it.
    """
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": list(one.position or (one.column, one.row))},
            "properties": {
                "rank": rank,
                "peak": one.peak,
                "pixels": one.pixels,
                "row": one.row,
                "column": one.column,
                "box": list(one.box),
                "spectrum": list(one.spectrum),
            },
        }
        for rank, one in enumerate(detections, 1)
    ]
    collection: dict[str, object] = {"type": "FeatureCollection", "features": features}
    if georeference is not None and georeference.crs is not None:
        collection["crs"] = {"type": "name", "properties": {"name": _crs_name(georeference.crs)}}
    if wavelengths is not None:
        collection["wavelengths_nm"] = list(wavelengths)
    return json.dumps(collection, indent=1)


def _crs_name(crs: str) -> str:
    """The name that GDAL knows: a code where there is one."""
    if crs.startswith("EPSG:"):
        return f"urn:ogc:def:crs:EPSG::{crs.removeprefix('EPSG:')}"
    at = crs.rfind('AUTHORITY["EPSG","')
    code = crs[at:].removeprefix('AUTHORITY["EPSG","').partition('"')[0] if at >= 0 else ""
    return f"urn:ogc:def:crs:EPSG::{code}" if code.isdigit() else crs


def as_csv(detections: Sequence[Detection]) -> str:
    """Return detections as a table without their spectra."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["rank", "peak", "pixels", "row", "column", "x", "y"])
    for rank, one in enumerate(detections, 1):
        x, y = one.position or ("", "")
        table.writerow([rank, one.peak, one.pixels, one.row, one.column, x, y])
    return text.getvalue()
