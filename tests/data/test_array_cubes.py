"""Cubes in memory are served as files of the same contents are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.data.array_cubes import ArrayCubes
from cuvis_ai.data.cube import read_cube
from cuvis_ai.errors import ConfigError, CubeFormatError
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.metrics import AnomalyDetectionMetrics
from tests.data.files import write_envi

CUBE = np.random.default_rng(0).normal(10, 1, (12, 9, 4)).astype("f4")
MASK = np.zeros((12, 9), bool)
MASK[3, 4] = True
ONCE = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))


def test_a_graph_is_fitted_to_arrays_and_measured_by_their_masks() -> None:
    planted = CUBE.copy()
    planted[MASK] += 5
    graph = Graph("rx")
    graph.add_leaf_node(AnomalyDetectionMetrics(), graph.add_node(RXGlobal()), name="found")
    trainer = graph.train(ArrayCubes(CUBE, val=[planted], val_masks=[MASK]), ONCE)
    pixels = CUBE.reshape(-1, 4).astype(np.float64)
    n = len(pixels)
    expected = EmpiricalCovariance().fit(pixels).mahalanobis(planted.reshape(-1, 4)) * (n - 1) / n
    found = graph(planted).output[0, 0].numpy()
    np.testing.assert_allclose(found, expected.reshape(12, 9), rtol=1e-4)
    assert trainer.callback_metrics["val/metric/anomaly_auroc"] == 1.0


def test_what_an_opened_cube_says_counts(tmp_path: Path) -> None:
    bad = CUBE.copy()
    bad[0] = -9999
    write_envi(
        tmp_path / "a.hdr", bad, data_ignore_value="-9999", bbl="{1,1,0,1}",
        wavelength="{400,500,600,700}", wavelength_units="nm",
    )  # fmt: skip
    data = ArrayCubes(read_cube(tmp_path / "a.hdr"))
    (batch,) = data.statistics_dataloader()
    assert batch["wavelengths"].tolist() == [400, 500, 700]
    assert not batch["valid"][0, 0].any()
    assert batch["valid"][0, 1:].all()
    assert torch.equal(batch["cube"][0, :, 1:], torch.from_numpy(CUBE[1:, :, [0, 1, 3]]).permute(2, 0, 1))


def test_a_data_array_is_read_by_its_dimensions() -> None:
    array = pytest.importorskip("xarray").DataArray(
        CUBE.transpose(2, 0, 1),
        dims=("band", "y", "x"),
        coords={"wavelength": ("band", [400.0, 500.0, 600.0, 700.0], {"units": "nm"})},
    )
    (batch,) = ArrayCubes([array]).train_dataloader()
    assert torch.equal(batch["cube"][0], torch.from_numpy(CUBE).permute(2, 0, 1))
    assert batch["wavelengths"].tolist() == [400, 500, 600, 700]


def test_four_axes_are_several_cubes_and_masked_labels_are_unknown() -> None:
    labels = np.ma.MaskedArray(np.zeros((12, 9), int), mask=MASK)
    data = ArrayCubes(np.stack([CUBE, CUBE + 1]), train_masks=[labels, MASK], batch_size=1)
    first, second = data.statistics_dataloader()
    assert torch.equal(~first["valid"][0], torch.from_numpy(MASK))
    assert torch.equal(second["mask"][0], torch.from_numpy(MASK))
    assert torch.equal(second["cube"], first["cube"] + 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"train": "scene.hdr"}, ConfigError, "arrays .* in `train`, got str"),
        ({"train": 3}, ConfigError, "arrays in `train`, got int"),
        ({"train": CUBE, "train_masks": []}, ConfigError, "each of 1 cubes in `train_masks`, got none"),
        ({"train": CUBE, "train_masks": [CUBE]}, ConfigError, r"`train_masks`, got float32 \(12, 9, 4\)"),
        ({"train": CUBE, "train_masks": MASK[:3]}, CubeFormatError, r"12x9 pixels, got shape \(3, 9\)"),
    ],
)
def test_misfits_are_named(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        next(iter(ArrayCubes(**arguments).train_dataloader()))
