"""Detections are the connected parts of a mask, by SciPy's definition of eight neighbours and by hand."""

import csv
import io
import json

import numpy as np
import pytest

from cuvis_ai.data.sources.georeference import Georeference
from cuvis_ai.pipeline.prediction.detections import as_csv, as_geojson, find_detections

GRID = Georeference(transform=(2.0, 0.0, 100.0, 0.0, -2.0, 50.0), crs="EPSG:32633")
SCORES = np.zeros((6, 8), np.float32)
SCORES[0, 0], SCORES[1, 1] = 5.0, 3.0  # they touch at a corner
SCORES[3, 4:7] = 4.0
SCORES[5, 0] = 9.0
CUBE = np.arange(6 * 8 * 3, dtype=np.float64).reshape(6, 8, 3)


def spectra(rows: slice, columns: slice) -> np.ndarray:
    return CUBE[rows, columns]


def test_the_strongest_come_first_with_size_centre_and_mean_spectrum() -> None:
    found = find_detections(SCORES, SCORES > 2, spectra, GRID)
    assert [(one.peak, one.pixels, one.row, one.column) for one in found] == [
        (9.0, 1, 5.0, 0.0),
        (5.0, 2, 0.5, 0.5),
        (4.0, 3, 3.0, 5.0),
    ]
    assert found[1].spectrum == tuple((CUBE[0, 0] + CUBE[1, 1]) / 2)
    # The centre of row 3 and column 5 lies 5.5 pixels of 2 right of, and 3.5 below, the corner (100, 50).
    assert found[2].position == (111.0, 43.0)
    assert found[2].box == (3, 4, 1, 3)


def test_small_and_weak_ones_are_left_out() -> None:
    assert [one.peak for one in find_detections(SCORES, SCORES > 2, spectra, None, min_pixels=2)] == [
        5.0,
        4.0,
    ]
    assert [one.peak for one in find_detections(SCORES, SCORES > 2, spectra, None, top=1)] == [9.0]
    assert find_detections(SCORES, SCORES > 10, spectra, None) == []


def test_geojson_has_points_in_map_coordinates() -> None:
    found = find_detections(SCORES, SCORES > 2, spectra, GRID)
    collection = json.loads(as_geojson(found, GRID, [400.0, 500.0, 600.0]))
    assert collection["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
    feature = collection["features"][2]
    assert feature["geometry"] == {"type": "Point", "coordinates": [111.0, 43.0]}
    assert feature["properties"]["pixels"] == 3


def test_geojson_names_the_code_of_a_system_in_well_known_text() -> None:
    rasterio = pytest.importorskip("rasterio")
    wkt = rasterio.CRS.from_epsg(3035).to_wkt()
    text = as_geojson([], Georeference(transform=GRID.transform, crs=wkt), None)
    assert json.loads(text)["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::3035"


def test_without_a_map_coordinates_are_column_and_row() -> None:
    found = find_detections(SCORES, SCORES > 8, spectra, None)
    collection = json.loads(as_geojson(found, None, None))
    assert collection["features"][0]["geometry"]["coordinates"] == [0.0, 5.0]
    assert "crs" not in collection
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert (rows[0]["rank"], rows[0]["peak"], rows[0]["x"]) == ("1", "9.0", "")
