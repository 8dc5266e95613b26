"""Scenes are named by files, folders, patterns and lists."""

from pathlib import Path

import numpy as np
import pytest

from cuvis_ai.errors import ConfigError, DatasetNotFoundError
from cuvis_ai.pipeline.prediction.scene_files import find_scenes
from tests.data.files import write_envi


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


@pytest.mark.parametrize("text", ["\ufeffs9.npy\ns#1.npy\n", "s9.npy\r\n  # none\r\ns#1.npy\t# one\r\n"])
def test_lists_are_read_as_editors_write_them(folder: Path, text: str) -> None:
    np.save(folder / "s#1.npy", np.zeros((2, 2, 2)))
    (folder / "list.txt").write_bytes(text.encode())
    assert names(find_scenes(folder / "list.txt")) == ["s9.npy", "s#1.npy"]


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_list_in_another_encoding_is_an_error(folder: Path, encoding: str) -> None:
    (folder / "list.txt").write_bytes("grün.npy".encode(encoding))
    with pytest.raises(ConfigError, match="Save it as UTF-8"):
        find_scenes(folder / "list.txt")


def test_a_list_may_name_lists_but_not_itself(folder: Path) -> None:
    (folder / "inner.txt").write_text("s9.npy\n")
    (folder / "outer.txt").write_text("inner.txt\ninner.txt\n")
    assert names(find_scenes(folder / "outer.txt")) == ["s9.npy"]
    (folder / "inner.txt").write_text("outer.txt\n")
    with pytest.raises(ConfigError, match="names itself"):
        find_scenes(folder / "outer.txt")


def test_one_file_by_two_paths_is_one_scene(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_scenes(["s9.npy", folder / "s9.npy", "./s9.npy"]) == [Path("s9.npy")]
    Path("link.npy").symlink_to("s9.npy")
    assert find_scenes(["s9.npy", "link.npy"]) == [Path("s9.npy"), Path("link.npy")]


@pytest.mark.parametrize("data", ["a.img", "a.dat", "a"])
def test_a_header_and_its_data_file_are_one_scene(tmp_path: Path, data: str) -> None:
    write_envi(tmp_path / "a.hdr", np.zeros((2, 2, 2), "u2"))
    (tmp_path / "a.img").rename(tmp_path / data)
    header, file = tmp_path / "a.hdr", tmp_path / data
    assert find_scenes([file, header]) == [header]
    assert find_scenes([header, file]) == [header]
    assert find_scenes(file) == [file]
