from pathlib import Path

import pytest

from cuvis_ai.data.sources.name_order import by_number


@pytest.mark.parametrize(
    "ordered",
    [
        ["a1", "a2", "a10", "a100"],
        ["GTIFF_DIR:2:/x/1.tif", "GTIFF_DIR:11:/x/1.tif"],
        ["9", "10", "a", "a b"],
        ["s1_b9", "s1_b10", "s2_b1"],
        ["b09", "b9", "b010"],
        [Path("run 2/a.npy"), Path("run 10/a.npy")],
    ],
)
def test_numbers_in_names_sort_as_numbers(ordered: list[object]) -> None:
    assert sorted(reversed(ordered), key=by_number) == ordered
