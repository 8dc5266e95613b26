"""All that a graph is applied to means the same: files, opened cubes, arrays, batches and tensors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.cube import read_cube
from cuvis_ai.data.cube_batch import read_batch
from cuvis_ai.data.scene_tiles import SceneTiles
from cuvis_ai.errors import ConfigError, CubeFormatError, DatasetNotFoundError, GraphError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.metrics import AnomalyDetectionMetrics
from tests.data.files import write_envi

STATISTICS_ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
NM = [400.0, 500.0, 600.0, 700.0, 800.0]
FIELDS = {
    "data_ignore_value": "-9999",
    "bbl": "{1,1,0,1,1}",
    "wavelength": "{400,500,600,700,800}",
    "wavelength_units": "nm",
}
GOOD = [0, 1, 3, 4]
CUBE = np.random.default_rng(0).integers(1, 4000, (20, 24, 5)).astype("i2")
CUBE[:3, 4:] = -9999
CUBE[:, :, 2] = 30000
VALID = CUBE[:, :, 0] != -9999
MASK = np.random.default_rng(1).random((20, 24)) > 0.9


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    write_envi(tmp_path / "scene.hdr", CUBE, **FIELDS)
    return tmp_path / "scene.hdr"


@pytest.fixture
def graph(scene: Path) -> Graph:
    graph = Graph()
    rx = graph.add_node(RXGlobal())
    graph.add_leaf_node(AnomalyDetectionMetrics(), rx)
    graph.train(SceneTiles(scene, tile=8, fractions=(1, 0, 0)), STATISTICS_ONLY)
    return graph


def expected_scores() -> np.ndarray:
    """Squared Mahalanobis distances of the good bands, by the definition; NaN without data."""
    pixels = CUBE[:, :, GOOD].astype(np.float64)
    known = pixels[VALID]
    centred = pixels - known.mean(0)
    inverse = np.linalg.inv(np.cov(known, rowvar=False))
    return np.where(VALID, np.einsum("hwi,ij,hwj->hw", centred, inverse, centred), np.nan)


def with_nan() -> np.ndarray:
    return np.where(CUBE == -9999, np.nan, CUBE).astype("f4")


def tensor() -> torch.Tensor:
    return torch.from_numpy(with_nan()[:, :, GOOD]).permute(2, 0, 1)[None]


SOURCES: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "text": lambda path: str(path),
    "Cube": lambda path: read_cube(path),
    "batch": lambda path: read_batch(path),
    "batch without options": lambda path: {"cube": tensor()},
    "tensor": lambda path: tensor(),
    "array": lambda path: with_nan(),
    "array of the good bands": lambda path: with_nan()[:, :, GOOD],
    "masked array": lambda path: np.ma.masked_equal(CUBE, -9999),
    "DataArray": lambda path: pytest.importorskip("xarray").DataArray(
        CUBE.transpose(2, 0, 1),
        dims=("band", "y", "x"),
        coords={"band": ("band", NM, {"units": "nm"})},
        attrs={"_FillValue": -9999},
    ),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_scores_are_those_of_the_definition(source: Callable[[Path], Any], scene: Path, graph: Graph) -> None:
    given = source(scene)
    output, _, metadata = graph(given)
    np.testing.assert_allclose(output[0, 0], expected_scores(), rtol=1e-4)
    np.testing.assert_array_equal(metadata["valid"][0], VALID)
    (ran,) = graph.run(given, ["rx_global"]).values()
    assert torch.equal(ran.nan_to_num(-1), output.nan_to_num(-1))


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_source_is_evaluated_against_a_mask(
    source: Callable[[Path], Any], scene: Path, graph: Graph
) -> None:
    given = source(scene)
    values = graph.evaluate(given, training_config=STATISTICS_ONLY, mask=MASK)
    expected = roc_auc_score(MASK[VALID], expected_scores()[VALID])
    assert values["test/metric/anomaly_auroc"] == pytest.approx(expected, abs=1e-4)


def test_a_mask_is_an_array_a_tensor_or_a_file(scene: Path, graph: Graph, tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", MASK)
    values = [
        graph.evaluate(scene, training_config=STATISTICS_ONLY, mask=mask)
        for mask in (MASK, torch.from_numpy(MASK)[None], MASK.astype("u1") * 255, tmp_path / "mask.npy")
    ]
    assert all(one == values[0] for one in values)
    left = np.zeros((20, 24), bool)
    left[:, :12] = True
    known = graph.evaluate(scene, training_config=STATISTICS_ONLY, mask=MASK, valid=left)
    unknown = np.ma.array(MASK, mask=~left)
    assert graph.evaluate(scene, training_config=STATISTICS_ONLY, mask=unknown) == known != values[0]


def test_valid_is_besides_what_a_file_says(scene: Path, graph: Graph) -> None:
    own = np.ones((20, 24), bool)
    own[-1] = False
    _, _, metadata = graph(scene, valid=own)
    np.testing.assert_array_equal(metadata["valid"][0], VALID & own)


def test_bands_are_matched_by_wavelength_in_the_order_of_training(graph: Graph) -> None:
    shuffled = [3, 0, 4, 2, 1]
    nm = [NM[i] + 9 for i in shuffled]
    with pytest.raises(GraphError, match="array: expected the 4 bands of training"):
        graph(with_nan()[:, :, shuffled], wavelengths=nm)
    found = graph(with_nan()[:, :, shuffled], wavelengths=nm, match_bands=True).output
    np.testing.assert_allclose(found[0, 0], expected_scores(), rtol=1e-4)


def test_bands_of_training_are_where_they_were_in_its_files(tmp_path: Path) -> None:
    """Neither names nor flags say which are bad: the data module's list did."""
    np.save(tmp_path / "a.npy", CUBE)
    graph = Graph()
    graph.add_node(RXGlobal())
    tiles = SceneTiles(tmp_path / "a.npy", tile=8, fractions=(1, 0, 0), bad_bands=[2], no_data=-9999)
    graph.train(tiles, STATISTICS_ONLY)
    np.testing.assert_allclose(graph(with_nan()).output[0, 0], expected_scores(), rtol=1e-4)


@pytest.mark.parametrize("kind", ["path", "array", "masked array", "tensor"])
def test_a_band_without_data_is_named(kind: str, scene: Path, graph: Graph) -> None:
    dead = CUBE.copy()
    dead[:, :, 3] = -9999
    write_envi(scene, dead, **FIELDS)
    floats = np.where(dead == -9999, np.nan, dead).astype("f4")
    sources = {
        "path": scene,
        "array": floats,
        "masked array": np.ma.masked_equal(dead, -9999),
        "tensor": torch.from_numpy(floats[:, :, GOOD]).permute(2, 0, 1)[None],
    }
    band = 2 if kind == "tensor" else 3
    message = rf"expected data in each of the 4 bands that the graph needs, got none in the bands \[{band}\]"
    with pytest.raises(GraphError, match=message):
        graph(sources[kind])
    with pytest.raises(GraphError, match=message):
        graph.evaluate(sources[kind], mask=MASK)


def test_of_a_piece_with_its_flags_a_band_without_data_gives_nan(graph: Graph) -> None:
    cube = tensor()
    cube[:, 2] = torch.nan
    assert graph(cube, valid=torch.ones(1, 20, 24, dtype=torch.bool)).output.isnan().all()


def test_a_band_that_the_header_calls_bad_is_named(scene: Path, graph: Graph) -> None:
    write_envi(scene, CUBE, **{**FIELDS, "bbl": "{1,0,0,1,1}"})
    with pytest.raises(GraphError, match=r"got the bands \[1\] at \[500\] nm flagged bad"):
        graph(scene)
    graph(read_batch(scene, bad_bands=[2]))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ([1, 2], GraphError, "a NumPy array .* got list"),
        ({"image": 1}, GraphError, 'expected the key "cube"'),
        (np.ones((4, 5)), CubeFormatError, r"expected three axes \(h, w, c\)"),
        (np.full((4, 5, 4), np.nan), CubeFormatError, "no data|no valid pixel|valid pixel, got none of 20"),
        ("no/such/file.hdr", DatasetNotFoundError, "no such file"),
    ],
)
def test_what_is_no_cube_is_refused(source: Any, error: type[Exception], message: str, graph: Graph) -> None:
    with pytest.raises(error, match=message):
        graph(source)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mask": MASK[:4]}, GraphError, "mask: expected one flag a pixel"),
        ({"mask": MASK * 3}, GraphError, "mask: expected bool, or 0 and 1"),
        ({"mask": MASK.tolist()}, GraphError, "mask: expected .* got list"),
        ({"valid": VALID[:, 1:]}, GraphError, "valid: expected one flag a pixel"),
        ({"wavelengths": [1.0, 2.0]}, ConfigError, "`wavelengths`: expected 5 values"),
        ({"mask": "no/such/file.png"}, DatasetNotFoundError, "no such file"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str, graph: Graph
) -> None:
    with pytest.raises(error, match=message):
        graph.evaluate(with_nan(), **arguments)


def test_a_data_module_brings_its_own_masks(scene: Path, graph: Graph) -> None:
    with pytest.raises(GraphError, match="evaluate: expected a data module alone"):
        graph.evaluate(SceneTiles(scene, tile=8), mask=MASK)


def test_a_graph_in_float64_takes_every_source(scene: Path, graph: Graph) -> None:
    graph.to(torch.float64)
    output = graph(scene).output
    assert output.dtype == torch.float64
    np.testing.assert_allclose(output[0, 0], expected_scores(), rtol=1e-4)


def test_training_data_without_a_valid_pixel_are_an_error_that_names_the_band(scene: Path) -> None:
    dead = CUBE.copy()
    dead[:, :, 3] = np.where(np.arange(24) < 8, 7, -9999)
    dead[:, :8, 0] = -9999
    write_envi(scene, dead, **FIELDS)
    graph = Graph()
    graph.add_node(RXGlobal())
    with pytest.raises(GraphError, match=r"valid training pixels, got 0. The reason: .*scene.hdr"):
        graph.train(SceneTiles(scene, tile=8, fractions=(1, 0, 0)), STATISTICS_ONLY)


def test_the_one_valid_pixel_is_no_reason_why_there_is_none(tmp_path: Path) -> None:
    np.save(tmp_path / "scene.npy", np.ones((1, 1, 3), "f4"))
    graph = Graph()
    graph.add_node(RXGlobal())
    with pytest.raises(GraphError, match=r"valid training pixels, got 1\.$"):
        graph.train(SceneTiles(tmp_path / "scene.npy", tile=None, fractions=None), STATISTICS_ONLY)
