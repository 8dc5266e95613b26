"""Tiles of one map grid, predicted together, have the map of the scene that they were cut from."""

from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.scene_list import SceneList
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.evaluation.score_sources import evaluate_maps
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.prediction import strip_scorer
from cuvis_ai.spatial.guided_filter import GuidedFilter
from cuvis_ai.spatial.smoothing import LogSmooth
from tests.pipeline.prediction.conftest import STATISTICS_ONLY

rasterio = pytest.importorskip("rasterio")
merge = pytest.importorskip("rasterio.merge").merge

# rasterio's own, in `merge`.
pytestmark = pytest.mark.filterwarnings("ignore:Use `@` matmul:PendingDeprecationWarning")

NO_DATA = -9999.0
HALO = 2 + 2 * 3
NORTH_UP = rasterio.Affine(2, 0, 500000, 0, -2, 4600000)
ROTATED = NORTH_UP @ rasterio.Affine.rotation(30)
# Uneven, and one column of tiles that is narrower than the halo.
ROWS, COLUMNS = (0, 17, 40), (0, 21, 25, 50)


def cube() -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    background = generator.normal(size=(40, 50, 3)) @ generator.normal(size=(3, 6))
    values = (1000 + 50 * background + generator.normal(size=(40, 50, 6))).astype("f4")
    values[generator.random((40, 50)) < 0.05] = NO_DATA
    values[15:18, 10:30] = NO_DATA
    return values


def write(path: Path, values: NDArray[Any], transform: Any, crs: str | None = "EPSG:32633") -> None:
    path.parent.mkdir(exist_ok=True)
    h, w, c = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=h, width=w, count=c, dtype=values.dtype.name, nodata=NO_DATA,
        transform=transform, crs=crs,
    ) as file:  # fmt: skip
        file.write(values.transpose(2, 0, 1))


def write_tiles(
    folder: Path, values: NDArray[Any], grid: Any = NORTH_UP, overlap: int = 0
) -> dict[str, tuple[slice, slice]]:
    """Write 2 × 3 tiles, and return where they lie."""
    places = {}
    for i, (rows, columns) in enumerate(product(pairwise(ROWS), pairwise(COLUMNS))):
        top, left = max(0, rows[0] - overlap), max(0, columns[0] - overlap)
        place = slice(top, rows[1] + overlap), slice(left, columns[1] + overlap)
        write(folder / f"t{i}.tif", values[place], grid @ rasterio.Affine.translation(left, top))
        places[f"t{i}"] = place
    return places


def mosaic(folder: Path) -> NDArray[np.float32]:
    merged, transform = merge(sorted(folder.glob("*_scores.tif")))
    assert transform == NORTH_UP
    values: NDArray[np.float32] = merged[0]
    return values


def scored(graph: Graph, source: Any, **options: Any) -> dict[str, NDArray[np.float32]]:
    return {one.name: one.scores[..., 0] for one in graph.predict(source, **options)}


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """PCA → RX → logarithm smoothed → filtered as the scene guides it."""
    write(tmp_path / "whole.tif", cube(), NORTH_UP)
    graph = Graph("detector")
    pca = graph.add_node(TrainablePCA(3))
    smooth = graph.add_node(LogSmooth(), parent=graph.add_node(RXGlobal(), parent=pca))
    graph.add_node(GuidedFilter(radius=3), parent=[smooth, pca])
    graph.train(SceneList([tmp_path / "whole.tif"]), STATISTICS_ONLY)
    assert graph.halo == HALO
    return graph


@pytest.mark.parametrize("strip_bytes", [strip_scorer.STRIP_BYTES, 1])
@pytest.mark.parametrize("overlap", [0, 3])
def test_the_mosaic_of_maps_is_the_map_of_the_whole(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlap: int, strip_bytes: int
) -> None:
    whole = scored(graph, tmp_path / "whole.tif")["whole"]
    write_tiles(tmp_path / "tiles", cube(), overlap=overlap)
    monkeypatch.setattr(strip_scorer, "STRIP_BYTES", strip_bytes)
    graph.predict(tmp_path / "tiles", tmp_path / "maps", format="geotiff", picture=False)
    assert np.isnan(whole).sum() == (cube()[..., 0] == NO_DATA).sum()
    np.testing.assert_array_equal(mosaic(tmp_path / "maps"), whole)


def test_a_grid_may_be_rotated(graph: Graph, tmp_path: Path) -> None:
    whole = scored(graph, tmp_path / "whole.tif")["whole"]
    places = write_tiles(tmp_path / "tiles", cube(), ROTATED)
    for name, scores in scored(graph, tmp_path / "tiles").items():
        np.testing.assert_array_equal(scores, whole[places[name]])


def test_where_a_tile_is_missing_nothing_was_measured(graph: Graph, tmp_path: Path) -> None:
    values = cube()
    places = write_tiles(tmp_path / "tiles", values)
    (tmp_path / "tiles" / "t1.tif").unlink()
    values[places["t1"]] = NO_DATA
    write(tmp_path / "holed.tif", values, NORTH_UP)
    graph.predict(tmp_path / "tiles", tmp_path / "maps", format="geotiff", picture=False)
    np.testing.assert_array_equal(mosaic(tmp_path / "maps"), scored(graph, tmp_path / "holed.tif")["holed"])


@pytest.mark.parametrize(
    ("grid", "crs"),
    [
        (NORTH_UP @ rasterio.Affine.translation(25, 0), "EPSG:32633"),  # the next tile
        (NORTH_UP @ rasterio.Affine.translation(25.5, 0), "EPSG:32633"),
        (NORTH_UP @ rasterio.Affine.translation(25 + HALO, 0), "EPSG:32633"),
        (NORTH_UP @ rasterio.Affine.translation(25, 0), "EPSG:32632"),
        (NORTH_UP @ rasterio.Affine.translation(25, 0) @ rasterio.Affine.scale(1.01), "EPSG:32633"),
        (NORTH_UP @ rasterio.Affine.translation(25, 0) @ rasterio.Affine.rotation(1), "EPSG:32633"),
        (NORTH_UP @ rasterio.Affine.scale(0), "EPSG:32633"),
        (NORTH_UP, "EPSG:32633"),  # another day
    ],
)
def test_only_scenes_that_continue_the_grid_are_seen(
    graph: Graph, tmp_path: Path, grid: Any, crs: str
) -> None:
    write(tmp_path / "tiles" / "a.tif", cube()[:, :25], NORTH_UP)
    write(tmp_path / "tiles" / "b.tif", cube()[:, 25:], grid, crs)
    alone = scored(graph, tmp_path / "tiles" / "a.tif")["a"]
    together = scored(graph, tmp_path / "tiles")["a"]
    next_tile = grid == NORTH_UP @ rasterio.Affine.translation(25, 0) and crs == "EPSG:32633"
    np.testing.assert_array_equal(together[:, : 25 - HALO], alone[:, : 25 - HALO])
    assert np.array_equal(together, alone, equal_nan=True) == (not next_tile)


def test_an_unknown_reference_system_makes_no_neighbours(graph: Graph, tmp_path: Path) -> None:
    write(tmp_path / "tiles" / "a.tif", cube()[:, :25], NORTH_UP, None)
    write(tmp_path / "tiles" / "b.tif", cube()[:, 25:], NORTH_UP @ rasterio.Affine.translation(25, 0), None)
    alone = scored(graph, tmp_path / "tiles" / "a.tif")["a"]
    np.testing.assert_array_equal(scored(graph, tmp_path / "tiles")["a"], alone)


def test_other_bands_make_no_neighbours(graph: Graph, tmp_path: Path) -> None:
    write(tmp_path / "tiles" / "a.tif", cube()[:, :25], NORTH_UP)
    more = np.concatenate([cube(), cube()[..., :1]], axis=2)[:, 25:]
    write(tmp_path / "tiles" / "b.tif", more, NORTH_UP @ rasterio.Affine.translation(25, 0))
    alone = scored(graph, tmp_path / "tiles" / "a.tif")["a"]
    np.testing.assert_array_equal(scored(graph, tmp_path / "tiles")["a"], alone)


def test_with_statistics_of_its_own_each_scene_stands_alone(graph: Graph, tmp_path: Path) -> None:
    write_tiles(tmp_path / "tiles", cube())
    together = scored(graph, tmp_path / "tiles", refit=True)
    for name in ("t0", "t5"):
        alone = scored(graph, tmp_path / "tiles" / f"{name}.tif", refit=True)[name]
        np.testing.assert_array_equal(together[name], alone)


def test_shards_see_the_scenes_of_all(graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strip_scorer, "STRIP_BYTES", 1)
    whole = scored(graph, tmp_path / "whole.tif")["whole"]
    write_tiles(tmp_path / "tiles", cube())
    for i in (2, 1, 3):
        graph.predict(tmp_path / "tiles", tmp_path / "maps", format="geotiff", picture=False, shard=(i, 3))
    np.testing.assert_array_equal(mosaic(tmp_path / "maps"), whole)


def write_halves(folder: Path) -> dict[str, Path]:
    write(folder / "a.tif", cube()[:, :25], NORTH_UP)
    write(folder / "b.tif", cube()[:, 25:], NORTH_UP @ rasterio.Affine.translation(25, 0))
    return {name: folder / f"{name}.tif" for name in "ab"}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(("first", "then"), [("a", "ab"), ("ab", "a")])
def test_with_other_neighbours_a_map_is_done_again(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str, finished: bool
) -> None:
    halves = write_halves(tmp_path)
    monkeypatch.setattr(strip_scorer, "STRIP_BYTES", 1)
    options: dict[str, Any] = {"out": tmp_path / "maps", "picture": False}
    # Of forty rows, in strips of eight.
    share: dict[str, Any] = {} if finished else {"shard": (1, 10)}
    graph.predict([halves[name] for name in first], **options, **share)
    assert (tmp_path / "maps" / "a_prediction.json").exists() == finished
    with pytest.raises(ConfigError, match="other neighbours.*--resume and without --shard"):
        graph.predict([halves[name] for name in then], **options, shard=(1, 2))  # others may be at work
    new = [halves[name] for name in then]
    done = graph.predict(new, **options, resume=True)
    assert [one.name for one in done] == list(then)
    np.testing.assert_array_equal(done[0].scores[:, :, 0], scored(graph, new)["a"])
    assert graph.predict(new, **options, resume=True) == []


def test_a_new_tile_changes_the_maps_within_its_reach_alone(
    graph: Graph, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    columns = {"a": slice(0, 16), "b": slice(16, 32), "c": slice(32, 50)}
    for name, where in columns.items():
        grid = NORTH_UP @ rasterio.Affine.translation(where.start, 0)
        write(tmp_path / "tiles" / f"{name}.tif", cube()[:, where], grid)
    late = tmp_path / "tiles" / "a.tif"
    late.rename(tmp_path / "a.tif")
    options: dict[str, Any] = {"format": "geotiff", "picture": False}
    graph.predict(tmp_path / "tiles", tmp_path / "maps", **options)
    (tmp_path / "a.tif").rename(late)
    caplog.set_level("INFO", "cuvis_ai.pipeline.prediction")
    done = graph.predict(tmp_path / "tiles", tmp_path / "maps", **options, resume=True)
    assert [one.name for one in done] == ["a", "b"]
    assert caplog.text.count("done again") == 1
    np.testing.assert_array_equal(mosaic(tmp_path / "maps"), scored(graph, tmp_path / "whole.tif")["whole"])


def test_another_file_of_a_name_fails_alone(graph: Graph, tmp_path: Path) -> None:
    halves = write_halves(tmp_path)
    graph.predict(halves["b"], tmp_path / "maps", picture=False)
    write(halves["b"], cube()[:30, 25:], NORTH_UP @ rasterio.Affine.translation(25, 0))
    both = list(halves.values())
    with pytest.raises(GraphError, match="1 of 2 scenes failed(.|\n)*another of its name.*--overwrite"):
        graph.predict(both, tmp_path / "maps", picture=False, resume=True)
    graph.predict(halves["b"], tmp_path / "maps", picture=False, overwrite=True)
    assert [one.name for one in graph.predict(both, tmp_path / "maps", picture=False, resume=True)] == ["b"]


def test_evaluation_sees_what_prediction_sees(graph: Graph, tmp_path: Path) -> None:
    write_tiles(tmp_path / "tiles", cube())
    for path in (tmp_path / "tiles").iterdir():
        (tmp_path / "truth").mkdir(exist_ok=True)
        with rasterio.open(path) as file:
            np.save(tmp_path / "truth" / f"{path.stem}.npy", (file.read(1) > 1050).astype("u1"))
    graph.predict(tmp_path / "tiles", tmp_path / "maps", format="geotiff", picture=False)
    masks: Any = {"masks": tmp_path / "truth", "false_alarm_rates": (0.1,)}
    of_graph = graph.evaluate_scenes(tmp_path / "tiles", threshold=0.0, **masks)
    of_maps = evaluate_maps(tmp_path / "maps", threshold=0.0, **masks)
    assert of_graph.pooled.values == of_maps.pooled.values
