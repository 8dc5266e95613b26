import json
from pathlib import Path

import pytest

from cuvis_ai.data.loading.dataset import CubeItem
from cuvis_ai.data.splits import divided, numbers_of
from cuvis_ai.errors import ConfigError


def _items(names: str) -> list[CubeItem]:
    return [CubeItem(name=name, path=Path(f"{name}.npy")) for name in names]


def _names(splits: tuple[list[CubeItem], ...]) -> list[str]:
    return ["".join(item.name for item in split) for split in splits]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("a", ["a", "", ""]),
        ("ab", ["a", "b", ""]),
        ("abc", ["a", "b", "c"]),
        ("abcd", ["ab", "c", "d"]),
        ("abcdefghij", ["abcdef", "gh", "ij"]),
    ],
)
def test_without_ids_and_file_the_items_are_divided_in_order(
    tmp_path: Path, names: str, expected: list[str]
) -> None:
    splits = divided(_items(names), range(len(names)), tmp_path / "splits.json", {"train_ids": None})
    assert _names(splits) == expected


def test_ids_count_more_than_the_file_and_are_names_or_numbers(tmp_path: Path) -> None:
    file = tmp_path / "splits.json"
    file.write_text(json.dumps({"train": ["c", 7], "test": [9]}))
    items, numbers = _items("abcd"), [7, 8, None, 9]
    assert _names(divided(items, numbers, file)) == ["ca", "", "d"]
    ids = {"train_ids": ["a"], "val_ids": [8], "test_ids": None}
    assert _names(divided(items, numbers, file, ids)) == ["a", "b", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ("[" * 100_000, "expected JSON, got"),
        ('"train"', r"splits\.json: expected \{\"train\".*got 'train'"),
        ('{"train": [0, true]}', "got True in `train`"),
        ('{"train": [0], "val": [[1]]}', r"got \[1\] in `val`"),
        ('{"test": [1.5]}', "got 1.5 in `test`"),
        ('{"test": {"a": 1}}', "got {'a': 1} in `test`"),
        ('{"train": 3}', r"splits\.json: expected \{\"train\": \[names or numbers\]"),
        ('{"training": [0]}', r"expected the splits \['train', 'val', 'test'\], got \['training'\]"),
        ('{"train": [0], "val": [17]}', r"`splits\.json: val` has \[17\]"),
    ],
)
def test_a_wrong_split_file_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "splits.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        divided(_items("ab"), range(2), tmp_path / "splits.json")


def test_digits_as_text_stand_for_a_number_unless_they_are_a_name(tmp_path: Path) -> None:
    file = tmp_path / "splits.json"
    file.write_text(json.dumps({"train": ["2", "a"], "test": ["10"]}))
    items = [*_items("ab"), CubeItem(name="10", path=Path("10.npy"))]
    assert _names(divided(items, [1, 2, 10_000], file)) == ["ba", "", "10"]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["1", "2", "10"], [1, 2, 10]),
        (["003", "7"], [3, 7]),
        (["1", "01"], [0, 1]),  # twice the same
        (["1", "b"], [0, 1]),
        (["a", "b", "c"], [0, 1, 2]),
    ],
)
def test_numbers_are_names_where_these_are_numbers(names: list[str], numbers: list[int]) -> None:
    assert numbers_of(names) == numbers


def test_unknown_ids_are_named_with_their_argument(tmp_path: Path) -> None:
    ids = {"train_ids": [0, 99], "val_ids": None, "test_ids": ["c"]}
    with pytest.raises(ConfigError, match=r"`train_ids` has \[99\]; `test_ids` has \['c'\]"):
        divided(_items("ab"), range(2), tmp_path / "splits.json", ids)
