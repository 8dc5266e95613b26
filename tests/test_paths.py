"""Paths are text or any `os.PathLike`, in every public signature and in what users call."""

import inspect
import os
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union, get_args, get_origin

import numpy as np
import pytest

from cuvis_ai.band_study.study import study_bands
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_folder import CubeFolder
from cuvis_ai.data.masks import read_mask
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.scene_masks import MaskOptions
from cuvis_ai.plain_types import misfit
from cuvis_ai.scene_detection import detect
from cuvis_ai.training.monitors import DummyMonitor
from cuvis_ai.training.monitors.report.monitor import ReportMonitor
from tests.found import modules


class Named(os.PathLike[str]):
    """A path of another library: no `Path`, no text; what it shows is not its name, and it can be iterated."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)

    def __iter__(self) -> Iterator[str]:
        return iter(["a", "b"])


def annotations(owner: object) -> Iterator[tuple[str, Any]]:
    """Yield the annotations of a public function, or of a class and its public methods."""
    if inspect.isclass(owner):
        yield from inspect.get_annotations(owner).items()
        for name, member in vars(owner).items():
            function = getattr(member, "__func__", member)
            if inspect.isfunction(function) and (name == "__init__" or not name.startswith("_")):
                yield from inspect.get_annotations(inspect.unwrap(function)).items()
    elif inspect.isfunction(owner):
        yield from inspect.get_annotations(inspect.unwrap(owner)).items()


def takes_text_or_path_alone(annotation: Any) -> bool:
    """Whether a union in an annotation, or in its parts, has `str` and `Path`, but no other `PathLike`."""
    if isinstance(annotation, str):
        return "str | Path" in annotation or "Path | str" in annotation
    parts = get_args(annotation)
    alone = get_origin(annotation) in (Union, types.UnionType) and str in parts and Path in parts
    return alone or any(map(takes_text_or_path_alone, parts))


def test_no_public_annotation_takes_text_or_a_path_alone() -> None:
    found, n_paths = [], 0
    for module in modules():
        public = {name: one for name, one in vars(module).items() if not name.startswith("_")}
        for name, one in public.items():
            if getattr(one, "__module__", None) == module.__name__:
                for argument, annotation in annotations(one):
                    n_paths += "PathLike" in str(annotation)
                    if takes_text_or_path_alone(annotation):
                        found.append(f"{module.__name__}.{name}: {argument}")
    assert not found
    assert n_paths > 40


@pytest.mark.parametrize("annotation", [str | Path, list[str | Path] | None, "int | str | Path"])
def test_the_walk_sees_such_annotations(annotation: Any) -> None:
    assert takes_text_or_path_alone(annotation)
    assert not takes_text_or_path_alone(StrPath | None)


@pytest.mark.parametrize("value", ["a", Path("a"), Named(Path("a"))])
def test_text_and_any_path_are_checked_as_paths(value: object) -> None:
    assert misfit(value, StrPath, "x") is None
    assert misfit([value], list[StrPath] | None, "x") is None


@pytest.mark.parametrize("value", [3, b"a", None, np.zeros(2)])
def test_other_values_are_no_paths(value: object) -> None:
    found = misfit(value, StrPath, "x")
    assert found is not None
    assert found.startswith("x: expected a string or a path, got ")


def test_cubes_and_masks_are_read_by_any_path(example_files: Path) -> None:
    assert read_cube(Named(example_files / "scene.hdr")).path == example_files / "scene.hdr"
    assert read_mask(Named(example_files / "mask.npy"), (40, 30)).sum() == 1


def test_data_modules_take_any_path(example_files: Path) -> None:
    folder = CubeFolder(Named(example_files / "Lentils"), annotations=Named(Path("annotations.json")))
    tiles = SceneTiles(
        Named(example_files / "scene.hdr"), mask=Named(example_files / "mask.npy"), tile=None, fractions=None
    )
    scenes = SceneList([Named(example_files / "scene.hdr")])
    for data in (folder, tiles, scenes):
        data.setup()
        assert next(iter(data.train_dataloader()))["cube"].shape[1] in (8, 61)


def test_a_graph_is_saved_loaded_and_applied_by_any_path(example_files: Path, tmp_path: Path) -> None:
    graph = Graph.load_from_file(Named(example_files / "detector.zip"))
    graph.save_to_file(Named(tmp_path / "again.zip"))
    scene, mask = Named(example_files / "scene.hdr"), Named(example_files / "mask.npy")
    again = Graph.load_from_file(Named(tmp_path / "again.zip"))
    [found] = again.predict(scene, Named(tmp_path / "maps"))
    [same] = again.predict([scene])
    assert found.files
    assert all(path.is_relative_to(tmp_path / "maps") for path in found.files)
    np.testing.assert_array_equal(read_cube(found.files[0]).values, same.scores)
    np.testing.assert_array_equal(again(scene).output[0].permute(1, 2, 0), same.scores)
    assert again.evaluate_scenes(scene, mask=mask).pooled.anomalies == 1
    assert again.evaluate_scenes([scene], masks=mask).pooled.anomalies == 1


def test_studies_and_detection_take_any_path(example_files: Path, tmp_path: Path) -> None:
    scene, mask = Named(example_files / "scene.hdr"), Named(example_files / "mask.npy")
    study = study_bands(scene, k=[2], masks=MaskOptions(mask=mask))
    assert all(path.is_file() for path in study.write(Named(tmp_path / "study")))
    detect(scene, Named(tmp_path / "maps"), save=Named(tmp_path / "rx.zip"), masks=mask)
    assert (tmp_path / "rx.zip").is_file()
    assert (tmp_path / "maps" / "report.html").is_file()


def test_monitors_write_to_any_path(tmp_path: Path) -> None:
    assert DummyMonitor(Named(tmp_path)).where() == f"Values and pictures are in {tmp_path}"
    assert ReportMonitor(Named(tmp_path)).path == tmp_path / "report.html"
