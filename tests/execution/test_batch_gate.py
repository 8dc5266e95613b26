"""Flags of a batch mean the same to all who read them, or are refused by key."""

from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.data.array_cubes import ArrayCubes
from cuvis_ai.errors import GraphError
from cuvis_ai.execution.batch_gate import checked_batch, pixel_flags
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.losses import AnomalyBCEWithLogits
from cuvis_ai.training.metrics import AnomalyDetectionMetrics
from tests.cubes import Batches, as_batches, random_cubes

TRUTH = torch.zeros(4, 6, 5, dtype=torch.bool)
TRUTH[:, 2, 1:4] = True
CUBE = random_cubes(4)

SAME = {
    "uint8 0/1": TRUTH.to(torch.uint8),
    "uint8 0/255": 255 * TRUTH.to(torch.uint8),
    "float 0/1": TRUTH.float(),
    "float 0/255": 255 * TRUTH.double(),
    "int16 0/1": TRUTH.to(torch.int16),
    "int32 0/255": 255 * TRUTH.to(torch.int32),
}
REFUSED = {
    "-1/1": (2 * TRUTH.int() - 1, r"got torch.int32 with 2 values: -1, 1. .*`mask = labels == k`"),
    "classes": (torch.arange(120).view(4, 6, 5), "with 120 values: 0, 1, 2, 3, 4, …"),
    "probabilities": (TRUTH.float() / 2, "with 2 values: 0, 0.5"),
    "NaN": (torch.where(TRUTH, torch.nan, 0.0), "expected bool"),
    "1/255": (torch.where(TRUTH, 255, 1), "with 2 values: 1, 255"),
    "another size": (TRUTH[:, :4], r"\(4, 6, 5\) for the cube \(4, 7, 6, 5\), got shape \(4, 4, 5\)"),
    "two planes": (torch.stack([TRUTH, TRUTH], 1), "expected one flag a pixel"),
    "b 1 h w": (TRUTH[:, None], r"got shape \(4, 1, 6, 5\)\. Give its one channel: `mask\[:, 0\]`"),
    "b h w 1": (TRUTH[..., None], r"Give its one channel: `mask\[..., 0\]`"),
    "no batch axis": (TRUTH[0], "expected one flag a pixel"),
    "no tensor": (TRUTH.numpy(), "expected a torch tensor"),
}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (key, name)
        for key in ("mask", "valid")
        for name, flags in SAME.items()
        if key == "mask" or not flags.is_floating_point()
    ],
)
def test_flags_in_any_form_are_the_same_flags(key: str, name: str) -> None:
    found = checked_batch({"cube": CUBE, key: SAME[name]}, torch.device("cpu"), torch.float32)[key]
    assert found.dtype == torch.bool
    assert torch.equal(found, TRUTH)


@pytest.mark.parametrize("value", [True, False])
def test_flags_that_are_all_alike_keep_their_meaning(value: bool) -> None:
    for top in (1, 255):
        flags = torch.full((4, 6, 5), top * value, dtype=torch.uint8)
        assert bool((pixel_flags("mask", flags, CUBE) == value).all())


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_mean_several_things_is_refused_by_key(name: str) -> None:
    flags, message = REFUSED[name]
    with pytest.raises(GraphError, match=f"^mask: .*{message}"):
        checked_batch({"cube": CUBE, "mask": flags}, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("key", ["valid", "core"])
def test_floats_that_may_be_weights_are_refused(key: str) -> None:
    with pytest.raises(GraphError, match=f"^{key}: expected bool.*got torch.float32, which may be weights"):
        checked_batch({"cube": CUBE, key: TRUTH.float()}, torch.device("cpu"), torch.float32)


def trained(data: Any) -> dict[str, float]:
    graph = Graph()
    rx = graph.add_node(RXGlobal())
    head = graph.add_node(RXLogitHead(), parent=rx)
    graph.add_leaf_node(AnomalyBCEWithLogits(), parent=head)
    graph.add_leaf_node(AnomalyDetectionMetrics(), parent=rx)
    settings = TrainerConfig(max_epochs=1, enable_progress_bar=False, accelerator="cpu")
    found = graph.train(data, TrainingConfig(trainer=settings)).callback_metrics
    return {name: float(value) for name, value in found.items()}


@pytest.mark.parametrize("name", ["uint8 0/255", "float 0/255"])
def test_losses_and_metrics_read_one_meaning(name: str) -> None:
    expected = trained(Batches(as_batches(CUBE, mask=TRUTH), as_batches(CUBE, mask=TRUTH)))
    assert trained(Batches(as_batches(CUBE, mask=SAME[name]), as_batches(CUBE, mask=SAME[name]))) == expected


def test_valid_of_a_call_passes_the_gate() -> None:
    graph = Graph()
    graph.add_node(RXGlobal())
    graph.train(Batches(as_batches(CUBE)), TrainingConfig(trainer=TrainerConfig(max_epochs=0)))
    expected = graph(CUBE, valid=~TRUTH).output
    assert expected.isnan().sum() == TRUTH.sum()
    found = graph(CUBE, valid=255 * (~TRUTH).to(torch.uint8)).output
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=0, atol=0)
    with pytest.raises(GraphError, match="^valid: expected one flag a pixel"):
        graph(CUBE, valid=TRUTH[:1])


class Stream(IterableDataset[dict[str, torch.Tensor]]):
    """Batches without a known number."""

    def __iter__(self) -> Any:
        yield from as_batches(CUBE, mask=TRUTH)


class Streamed(Batches):
    def train_dataloader(self) -> Any:
        return DataLoader(Stream(), batch_size=None)

    def val_dataloader(self) -> Any:
        return DataLoader(Stream(), batch_size=None)


def test_loaders_over_iterable_data_sets_give_what_others_give() -> None:
    batches = as_batches(CUBE, mask=TRUTH)
    assert trained(Streamed([])) == trained(Batches(batches, batches))


class TwoSplits(Batches):
    def val_dataloader(self) -> Any:
        return [super().val_dataloader(), super().val_dataloader()]


def test_two_validation_loaders_are_refused() -> None:
    batches = as_batches(CUBE, mask=TRUTH)
    with pytest.raises(GraphError, match="expected one loader, got 2"):
        trained(TwoSplits(batches, batches))


def test_the_key_x_means_the_cube() -> None:
    """In training, evaluation and application alike; not where there is a cube."""
    graphs = []
    for key in ("cube", "x"):
        graph = Graph()
        rx = graph.add_node(RXGlobal())
        graph.add_leaf_node(AnomalyDetectionMetrics(), parent=rx)
        batches = [{key: one["cube"], "mask": one["mask"]} for one in as_batches(CUBE, mask=TRUTH)]
        config = TrainingConfig(trainer=TrainerConfig(max_epochs=0, enable_progress_bar=False))
        graph.train(Batches(batches, batches, batches), config)
        graphs.append((graph(batches[0]).output, graph.evaluate(Batches(batches, test=batches))))
    assert torch.equal(graphs[0][0], graphs[1][0])
    assert graphs[0][1] == graphs[1][1] != {}
    assert torch.equal(
        checked_batch({"x": CUBE, "cube": CUBE[:1]}, CUBE.device, CUBE.dtype)["cube"], CUBE[:1]
    )


NM = torch.linspace(400, 900, CUBE.shape[1])


@pytest.mark.parametrize(
    "given", [NM, NM.expand(4, -1), NM.tolist(), NM.numpy()], ids=lambda one: type(one).__name__
)
def test_all_forms_of_one_spectral_axis_are_the_same(given: Any) -> None:
    checked = checked_batch({"cube": CUBE, "wavelengths": given}, torch.device("cpu"), torch.float32)
    torch.testing.assert_close(checked["wavelengths"], NM, check_dtype=False)
    graph = Graph("rx")
    graph.add_node(RXGlobal())
    graph.train(Batches(as_batches(CUBE)), TrainingConfig(trainer=TrainerConfig(max_epochs=0)))
    assert graph({"cube": CUBE, "wavelengths": given}).output.shape == (4, 1, 6, 5)


@pytest.mark.parametrize(
    "given",
    [NM[:-1], NM.expand(3, -1), torch.stack([NM, NM, NM, NM + 1]), ["a"], torch.tensor(400.0)],
    ids=["too few", "of other cubes", "not shared", "words", "one number"],
)
def test_what_is_no_spectral_axis_of_the_batch_is_refused(given: Any) -> None:
    with pytest.raises(GraphError, match=r"wavelengths: expected .*\(7,\), got "):
        checked_batch({"cube": CUBE, "wavelengths": given}, torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("precision", ["32", "64"])
def test_a_graph_in_float64_takes_the_float32_cubes_of_data_modules(precision: Literal["32", "64"]) -> None:
    """In both phases, in evaluation, and by threshold rules."""
    graph = Graph()
    rx = graph.add_node(RXGlobal(), name="rx")
    head = graph.add_node(RXLogitHead(), parent=rx)
    graph.add_leaf_node(AnomalyBCEWithLogits(), parent=head)
    graph.to(torch.float64)
    cube, mask = CUBE[0].permute(1, 2, 0).numpy(), TRUTH[0].numpy()
    cubes = ArrayCubes(cube, cube, cube, train_masks=mask, val_masks=mask, test_masks=mask, batch_size=1)
    graph.train(
        cubes,
        TrainingConfig(trainer=TrainerConfig(max_epochs=1, precision=precision, enable_progress_bar=False)),
    )
    threshold = graph.fit_threshold(cubes, "quantile", 0.5)
    scores = graph(cube).output
    assert scores.dtype == torch.float64
    torch.testing.assert_close(threshold.value, scores.flatten().quantile(0.5).item(), rtol=1e-5, atol=1e-5)
    pixels = cube.reshape(-1, cube.shape[2]).astype(np.float64)
    centred = pixels - pixels.mean(0)
    distances = np.einsum("ij,jk,ik->i", centred, np.linalg.inv(np.cov(pixels.T)), centred)
    found = graph.run(cube, outputs=["rx"])["rx"].flatten()
    torch.testing.assert_close(found, torch.from_numpy(distances), rtol=1e-10, atol=0)
    assert graph.evaluate(cubes)["test/loss/bce"] > 0
