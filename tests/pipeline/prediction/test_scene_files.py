"""Scenes are named by files, folders, patterns and lists."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.errors import ConfigError, DatasetNotFoundError
from cuvis_ai.pipeline.prediction.scene_files import find_scenes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("s10", "s9", "s9_mask"):
        np.save(tmp_path / f"{name}.npy", np.zeros((2, 2, 2)))
    return tmp_path


def names(scenes: list[Path]) -> list[str]:
    return [scene.name for scene in scenes]


def test_a_folder_is_its_cubes_in_the_order_of_their_numbers(folder: Path) -> None:
    assert names(find_scenes(folder)) == ["s9.npy", "s10.npy"]


def test_a_pattern_is_what_matches(folder: Path) -> None:
    (folder / "notes.md").write_text("")
    assert names(find_scenes(str(folder / "s1*"))) == ["s10.npy"]
    assert names(find_scenes(str(folder / "s?.*"))) == ["s9.npy"]


def test_a_list_names_scenes_from_its_own_folder(folder: Path) -> None:
    (folder / "list.txt").write_text("# flight 3\ns10.npy\n\ns9.npy  # cloudy\n")
    assert names(find_scenes([folder / "list.txt", folder / "s10.npy"])) == ["s10.npy", "s9.npy"]


def test_what_names_nothing_is_an_error(folder: Path) -> None:
    (folder / "empty").mkdir()
    for given, message in (
        ("no.npy", "no such file"),
        ("x*.npy", "match, got none"),
        ("empty", "got none in it"),
    ):
        with pytest.raises(DatasetNotFoundError, match=message):
            find_scenes(folder / given)
    with pytest.raises(DatasetNotFoundError, match="at least one"):
        find_scenes([])


def test_two_scenes_of_one_name_are_refused(folder: Path) -> None:
    (folder / "b").mkdir()
    np.save(folder / "b" / "s9.npy", np.zeros((2, 2, 2)))
    with pytest.raises(ConfigError, match="names of their own"):
        find_scenes([folder / "s9.npy", folder / "b"])
