"""Positions on a map, by hand."""

from cuvis_ai.data.sources.georeference import Georeference


def test_a_pixel_lies_at_its_centre() -> None:
    grid = Georeference(transform=(3.0, 0.0, 100.0, 0.0, -2.0, 50.0))
    assert grid.position(0, 0) == (101.5, 49.0)
    assert grid.position(1, 2) == (107.5, 47.0)


def test_sides_of_a_turned_pixel_keep_their_lengths() -> None:
    grid = Georeference(transform=(3.0, -4.0, 0.0, 4.0, 3.0, 0.0))
    assert grid.pixel_size() == (5.0, 5.0)
