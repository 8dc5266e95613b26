"""Segmentations against pycocotools' own drawing; what it must never see is refused."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as codec

from cuvis_ai.data.coco_shapes import covered, lies_outside
from cuvis_ai.errors import CubeFormatError

H, W = 12, 15
WHERE = "labels.json: annotation 7"
SQUARE = [2, 3, 5, 3, 5, 6, 2, 6]


def _covered(segmentation: Any) -> np.ndarray:
    return covered(segmentation, (H, W), WHERE, codec)


corners = st.lists(st.floats(-11, 26), min_size=6, max_size=14).map(lambda c: c[: len(c) // 2 * 2])


@settings(max_examples=200, deadline=None)
@given(polygons=st.lists(corners, min_size=1, max_size=3))
def test_polygons_equal_pycocotools_also_where_they_leave_the_image(polygons: list[list[float]]) -> None:
    oracle = codec.decode(codec.merge(codec.frPyObjects(polygons, H, W))).astype(bool)
    np.testing.assert_array_equal(_covered(polygons), oracle)
    if lies_outside(polygons, (H, W)):
        assert not oracle.any()


@settings(max_examples=200, deadline=None)
@given(
    shape=hnp.array_shapes(min_dims=2, max_dims=2, max_side=70),
    share=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_run_lengths_equal_pycocotools(shape: tuple[int, int], share: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    record = codec.encode(np.asfortranarray(mask, dtype=np.uint8))
    runs = {"size": list(shape), "counts": record["counts"].decode()}
    np.testing.assert_array_equal(covered(runs, shape, WHERE, codec), mask)


def test_long_runs_take_several_groups_of_bits() -> None:
    shape = (1500, 1500)
    mask = np.zeros(shape, dtype=bool)
    mask[700, 900:] = mask[3, 4] = True
    record = codec.encode(np.asfortranarray(mask, dtype=np.uint8))
    runs = {"size": list(shape), "counts": record["counts"].decode()}
    np.testing.assert_array_equal(covered(runs, shape, WHERE, codec), mask)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "3", True, [3], 10**400, 1e308])
@pytest.mark.parametrize("at", [0, 3, 7])
def test_numbers_that_are_none_are_refused(value: Any, at: int) -> None:
    with pytest.raises(
        CubeFormatError, match="annotation 7: expected finite numbers as the polygon's corners"
    ):
        _covered([[*SQUARE[:at], value, *SQUARE[at + 1 :]]])


@pytest.mark.parametrize("value", [1e3, 1e7, 1e9, -1e9, 3e38])
@pytest.mark.parametrize("at", [2, 3])
def test_a_polygon_that_reaches_far_out_is_refused(value: float, at: int) -> None:
    with pytest.raises(
        CubeFormatError, match="annotation 7: expected a polygon in the image of 15 × 12 pixels"
    ):
        _covered([[*SQUARE[:at], value, *SQUARE[at + 1 :]]])


def test_an_outline_that_would_fill_the_memory_is_refused() -> None:
    zigzag = [side for i in range(50_000) for side in (-10 + 30 * (i % 2), i % 12)]
    with pytest.raises(CubeFormatError, match=r"outline of at most 1000000 pixels, got 1\d{6}"):
        _covered([zigzag])


@pytest.mark.parametrize(
    "polygon",
    [
        [500002, 4000003, 500005, 4000003, 500005, 4000006, 500002, 4000006],
        [-5, 3, -2, 3, -2, 6, -5, 6],
        [15, 3, 18, 3, 18, 6],
        [1, 1e9, 3, 1e9, 3, 2e9],
    ],
)
def test_a_polygon_outside_covers_nothing_and_says_so(polygon: list[float]) -> None:
    assert lies_outside([polygon], (H, W))
    assert not _covered([polygon]).any()
    assert not lies_outside([polygon, SQUARE], (H, W))
    assert _covered([polygon, SQUARE]).sum() == 9


@pytest.mark.parametrize(
    "segmentation", [None, [], {}, "x", 3, [3, 4, 5, 6, 7, 8], [[1, 2, 3, 4]], [SQUARE, SQUARE[:7]], [{}]]
)
def test_what_is_no_segmentation_is_refused(segmentation: Any) -> None:
    with pytest.raises(CubeFormatError, match=r"annotation 7: expected (a segmentation|run lengths)"):
        _covered(segmentation)
    assert not lies_outside(segmentation, (H, W))


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({"size": [W, H], "counts": [180]}, r"run lengths of size [12, 15], got [15, 12]"),
        ({"size": 180, "counts": [180]}, "run lengths of size [12, 15], got 180"),
        ({"size": [12.0, True], "counts": [180]}, "run lengths of size [12, 15]"),
        ({"size": [H, W], "counts": [90, 91]}, "run lengths of 180 pixels, got 181"),
        ({"size": [H, W], "counts": [180, -1, 1]}, "numbers from 0 to 180, got [180, -1, 1]"),
        ({"size": [H, W], "counts": [180.0]}, "numbers from 0 to 180, got [180.0]"),
        ({"size": [H, W], "counts": [2**70]}, "numbers from 0 to 180"),
        ({"size": [H, W]}, "`counts` to be a text or a list of numbers"),
        ({"size": [H, W], "counts": ""}, "compressed run lengths"),
        ({"size": [H, W], "counts": "Pé"}, "compressed run lengths"),
        ({"size": [H, W], "counts": "o" * 9 + "0"}, "compressed run lengths"),
        ({"size": [H, W], "counts": "o"}, "compressed run lengths"),
        ({"size": [H, W], "counts": "D"}, "compressed run lengths"),  # negative
        ({"size": [H, W], "counts": "5"}, "run lengths of 180 pixels, got 5"),
    ],
)
def test_run_lengths_that_do_not_fill_the_image_are_refused(runs: dict[str, Any], message: str) -> None:
    with pytest.raises(CubeFormatError, match=f"annotation 7: expected .*{re.escape(message)}"):
        _covered(runs)


@pytest.mark.parametrize("cut", range(1, 9))
def test_compressed_run_lengths_that_were_cut_are_refused(cut: int) -> None:
    mask = np.arange(H * W).reshape(H, W) % 7 > 4
    counts = codec.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"].decode()
    with pytest.raises(CubeFormatError, match="annotation 7: expected (compressed )?run lengths"):
        _covered({"size": [H, W], "counts": counts[:-cut]})
