"""Maps are the same whoever did them, and whatever ended them on the way."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction.journal import Journal
from cuvis_ai.pipeline.prediction.writers import WRITERS
from tests.data.files import write_envi
from tests.pipeline.prediction.conftest import BORDER, FIELDS, values


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("strips", [0, 1, 3])
def test_an_interrupted_run_goes_on_and_ends_byte_equal(
    graph: Graph,
    scene: Path,
    tmp_path: Path,
    short_strips: None,
    monkeypatch: pytest.MonkeyPatch,
    strips: int,
) -> None:
    graph.predict(scene, tmp_path / "undisturbed", threshold=4.0, mask=True)
    write, written = Journal.write, []

    def interrupted(self: Journal, *args: Any) -> None:
        if len(written) == strips:
            raise KeyboardInterrupt
        written.append(args[0].top)
        write(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            graph.predict(scene, tmp_path / "maps", threshold=4.0, mask=True)
    again: list[int] = []

    def watched(self: Journal, *args: Any) -> None:
        again.append(args[0].top)
        write(self, *args)

    monkeypatch.setattr(Journal, "write", watched)
    graph.predict(scene, tmp_path / "maps", threshold=4.0, mask=True, resume=True)

    assert not set(again) & set(written)
    assert contents(tmp_path / "maps") == contents(tmp_path / "undisturbed")


def test_shards_share_a_folder(graph: Graph, scene: Path, tmp_path: Path, short_strips: None) -> None:
    write_envi(scene.with_name("b.hdr"), values(1), **FIELDS)
    folder = scene.parent
    alone = graph.predict(folder, tmp_path / "alone")
    finished = [graph.predict(folder, tmp_path / "shared", shard=(i, 3)) for i in (2, 1, 3)]
    assert [scene.name for scene in alone] == ["a", "b"]
    assert sorted(one.name for part in finished for one in part) == ["a", "b"]
    assert {
        name: content for name, content in contents(tmp_path / "shared").items() if "json" not in name
    } == {name: content for name, content in contents(tmp_path / "alone").items() if "json" not in name}


def test_what_stands_is_not_replaced_unasked(graph: Graph, scene: Path, tmp_path: Path) -> None:
    graph.predict(scene, tmp_path / "maps")
    with pytest.raises(FileExistsError, match="--overwrite to replace"):
        graph.predict(scene, tmp_path / "maps")
    before = contents(tmp_path / "maps")
    assert graph.predict(scene, tmp_path / "maps", resume=True) == []
    assert contents(tmp_path / "maps") == before
    with pytest.raises(ConfigError, match="other threshold, settings"):
        graph.predict(scene, tmp_path / "maps", resume=True, threshold=1.0, mask=True)
    (again,) = graph.predict(scene, tmp_path / "maps", overwrite=True, threshold=1.0, mask=True)
    assert (tmp_path / "maps" / "a_detected.hdr") in again.files


def test_maps_of_an_earlier_data_file_are_told_from_those_of_this_one(
    graph: Graph, scene: Path, tmp_path: Path
) -> None:
    graph.predict(scene, tmp_path / "maps")
    data = scene.with_suffix(".img")
    os.utime(data, ns=(0, data.stat().st_mtime_ns + 1))  # the header stays
    with pytest.raises(GraphError, match="an earlier file.*other modified_ns"):
        graph.predict(scene, tmp_path / "maps", resume=True)


def test_a_scene_that_cannot_be_read_does_not_end_the_others(
    graph: Graph, scene: Path, tmp_path: Path
) -> None:
    write_envi(scene.with_name("b.hdr"), values(1)[:, :, :3], **{**FIELDS, "bbl": "{1,1,1}"})
    (scene.parent / "c.hdr").write_text("ENVI\nsamples = 3\n")
    with pytest.raises(GraphError, match="2 of 3 scenes failed") as err:
        graph.predict(scene.parent, tmp_path / "maps")
    assert "b.hdr" in str(err.value)
    assert "c.hdr" in str(err.value)
    assert (tmp_path / "maps" / "a_scores.hdr").exists()


@pytest.mark.parametrize("format", sorted(WRITERS))
@pytest.mark.parametrize("in_strips", [False, True])
def test_a_full_disk_loses_no_finished_scene(
    graph: Graph,
    scene: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    in_strips: bool,
    format: str,
) -> None:
    if in_strips:
        monkeypatch.setattr("cuvis_ai.pipeline.prediction.strip_scorer.STRIP_BYTES", 4 * 24 * 4 * 12)
    # Its map has four times as many bytes as that of a, and lies elsewhere: they are no neighbours.
    placed = {**FIELDS, "map_info": FIELDS["map_info"].replace("500000", "600000")}
    write_envi(scene.with_name("b.hdr"), np.concatenate([values(seed) for seed in range(4)]), **placed)
    graph.predict(scene, tmp_path / "alone", format=format, picture=False)
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What a file may have at most; more is an error of the system, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (6_000, before[1]))
    try:
        with pytest.raises(GraphError, match=r"1 of 2 scenes failed.*\n.*b\.hdr"):
            graph.predict(scene.parent, tmp_path / "maps", format=format, picture=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert contents(tmp_path / "alone").items() <= contents(tmp_path / "maps").items()
    (rest,) = graph.predict(scene.parent, tmp_path / "maps", format=format, picture=False, resume=True)
    assert rest.name == "b"
    assert np.isfinite(rest.scores[BORDER:40]).all()


def test_maps_of_a_cube_in_memory_are_returned_and_a_folder_for_them_is_refused(
    graph: Graph, scene: Path, tmp_path: Path
) -> None:
    cube = read_cube(scene)
    [expected], [found] = graph.predict(scene), graph.predict(cube)
    np.testing.assert_array_equal(found.scores, expected.scores)
    with pytest.raises(ConfigError, match="expected the file of a scene.*got a cube in memory"):
        graph.predict(cube, tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_the_scenes_own_folder_is_refused(graph: Graph, scene: Path) -> None:
    with pytest.raises(ConfigError, match="folder of its own"):
        graph.predict(scene, scene.parent)
