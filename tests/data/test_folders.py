import logging
from pathlib import Path

import pytest

from cuvis_ai.data.folders import cube_name, find_annotations, find_cubes, find_mask, other_files
from cuvis_ai.errors import ConfigError, DatasetNotFoundError


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")


def test_cubes_are_found_and_other_files_left_alone(tmp_path: Path) -> None:
    _touch(tmp_path, "b.npy", "a.dat", "a.dat.hdr", "c.H5", "a_mask.npy", ".hidden.npy")
    _touch(tmp_path, "notes.txt", "preview.png", "tray.cu3s", "backup.zip", "sub/d.npy")
    assert [path.name for path in find_cubes(tmp_path)] == ["a.dat.hdr", "b.npy", "c.H5"]


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.npy", "a"), ("a.hdr", "a"), ("a.DAT.hdr", "a"), ("a.2024.hdr", "a.2024"), ("a.dat.npy", "a.dat")],
)
def test_a_cube_is_called_after_its_file(file: str, name: str) -> None:
    assert cube_name(Path(file)) == name


@pytest.mark.parametrize("suffix", [".png", ".gif", ".npy", ".mat", ".h5", ".tif", ".hdr", ".zarr"])
def test_a_mask_may_have_any_format(tmp_path: Path, suffix: str) -> None:
    _touch(tmp_path, "a.npy", f"masks/a{suffix}")
    assert find_mask(tmp_path / "a.npy", [tmp_path / "masks"]) == tmp_path / "masks" / f"a{suffix}"


def test_masks_beside_the_cube_and_pictures_come_first(tmp_path: Path) -> None:
    _touch(tmp_path, "a.npy", "masks/a_mask.npy", "masks/a.npy", "a_mask.mat", "a_mask.png")
    for name in ("a_mask.png", "a_mask.mat", "masks/a.npy", "masks/a_mask.npy"):
        assert find_mask(tmp_path / "a.npy", [tmp_path / "masks"]) == tmp_path / name
        (tmp_path / name).unlink()
    assert find_mask(tmp_path / "a.npy", [tmp_path / "masks"]) is None


def test_two_annotation_files_need_a_choice(tmp_path: Path) -> None:
    assert find_annotations(tmp_path, None, "Folder") is None
    _touch(tmp_path, "other.json")
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text('{"images": [], "annotations": []}')
    with pytest.raises(ConfigError, match=r"\['a\.json', 'b\.json'\].*`annotations`"):
        find_annotations(tmp_path, None, "Folder")
    assert find_annotations(tmp_path, "b.json", "Folder") == tmp_path / "b.json"
    with pytest.raises(DatasetNotFoundError, match=r"`annotations`.*gone\.json"):
        find_annotations(tmp_path, "gone.json", "Folder")


def test_numbers_in_file_names_are_sorted_as_numbers(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"s{i}.npy" for i in (10, 9, 100, 1)), "s2_11.npy", "s2_2.npy", "s02_3.npy", "r.npy")
    names = [cube_name(path) for path in find_cubes(tmp_path)]
    assert names == ["r", "s1", "s2_2", "s02_3", "s2_11", "s9", "s10", "s100"]


@pytest.mark.parametrize(
    "references",
    [
        ["DARKREF_a.hdr", "WHITEREF_a.hdr"],
        ["a_darkref.npy", "a_white_ref.npy", "WHITEDARKREF_a.npy"],
        ["darkReference.npy", "whiteReference.npy"],
        ["a-WHITE REFERENCE-2.npy"],
    ],
)
def test_references_beside_a_scan_are_no_cubes(
    tmp_path: Path, references: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    _touch(tmp_path, *references)
    assert len(find_cubes(tmp_path)) == len(references)  # alone they are what there is
    _touch(tmp_path, "a.npy", "white_refrigerator.npy", "prefer.npy")
    with caplog.at_level(logging.INFO, logger="cuvis_ai"):
        assert [path.name for path in find_cubes(tmp_path)] == [
            "a.npy",
            "prefer.npy",
            "white_refrigerator.npy",
        ]
    assert f"{len(references)} files are dark or white references" in caplog.text


@pytest.mark.parametrize(
    ("header", "data"),
    [("a.hdr", "a.img"), ("a.hdr", "a"), ("a.dat.hdr", "a.dat"), ("A.HDR", "A.IMG"), ("v.1.hdr", "v.1.bsq")],
)
def test_a_header_and_its_data_file_know_each_other(tmp_path: Path, header: str, data: str) -> None:
    _touch(tmp_path, header, data, "b.hdr", "b.img", "a.npy", "a.png")
    assert other_files(tmp_path / header) == [tmp_path / data]
    assert other_files(tmp_path / data) == [tmp_path / header]
    assert other_files(tmp_path / "a.npy") == []
