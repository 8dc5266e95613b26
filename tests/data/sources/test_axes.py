from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.data.sources.axes import ORDERS, OrderedSource, axis_order, named_axes, odd_axis
from cuvis_ai.data.sources.members import MemberSource

V = np.arange(60).reshape(4, 5, 3)


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (("y", "x", "band"), "hwc"),
        (("wavelength", "y", "x"), "chw"),
        (("z", "lat", "lon"), "chw"),  # rows and columns are named, so the third axis is the bands
        (("row", "nbands", "column"), "hcw"),
        (("x", "y", "wvl"), "whc"),
        (("a", "b", "channels"), "hwc"),
        (("northing", "unknown", "spectral_band"), "hwc"),
        (("dim_0", "dim_1", "dim_2"), None),
        (("y", "y", "x"), None),
        (("y", "x"), None),
        ((None, None, None), None),
    ],
)
def test_names_say_the_order(names: tuple[str | None, ...], order: str | None) -> None:
    assert named_axes(names) == order


@pytest.mark.parametrize(
    ("shape", "odd"),
    [
        ((30, 12, 10), 0),
        ((12, 10, 30), 2),
        ((12, 30, 10), 1),
        ((5, 64, 64), 0),
        ((64, 64, 5), 2),
        ((4, 4, 4), None),
    ],
)
def test_the_odd_axis_is_the_one_beside_the_closest_pair(shape: tuple[int, ...], odd: int | None) -> None:
    assert odd_axis(shape) == odd


@pytest.mark.parametrize(
    ("said", "usual", "n_bands", "order", "settled"),
    [
        ("cwh", "hwc", 10, "cwh", True),  # who says it is heard first
        (None, "hwc", 30, "chw", True),  # then the wavelengths
        (None, "hwc", 10, "hwc", True),
        (None, "hwc", None, "hwc", False),
        (None, "hwc", 7, "hwc", False),
        (None, "chw", None, "chw", True),
        (None, None, None, "chw", False),
    ],
)
def test_what_settles_the_order(
    said: str | None, usual: str | None, n_bands: int | None, order: str, settled: bool
) -> None:
    found, doubt = axis_order((30, 12, 10), said, usual, n_bands)
    assert found == order
    assert (doubt is None) == settled


def test_a_doubt_shows_how_the_array_is_read() -> None:
    _, doubt = axis_order((30, 12, 10), None, "hwc", None)
    assert doubt is not None
    assert "(30, 12, 10)" in doubt
    assert "30 rows, 12 columns and 10 bands" in doubt


@pytest.mark.parametrize("axes", ORDERS)
def test_a_source_is_put_in_order(axes: str) -> None:
    stored = V.transpose(["hwc".index(letter) for letter in axes])
    source = MemberSource(load=lambda *box: stored[box].copy(), shape=stored.shape, declared=V.dtype)
    ordered = OrderedSource(path=Path("a"), source=source, axes=axes)
    assert ordered.shape == V.shape
    np.testing.assert_array_equal(ordered.read(slice(1, 3), slice(0, 4), slice(1, 3)), V[1:3, :4, 1:])
