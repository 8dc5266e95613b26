"""Losses against their definitions, and how they count in the total."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.metrics import log_loss

from cuvis_ai.anomaly.branch_logit_head import BranchLogitHead
from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import ConfigError, GraphError, NonFiniteLossError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.bases import Loss, Read, View, pooled
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import Moments
from cuvis_ai.target.ace import ACE
from cuvis_ai.training.losses import (
    AnomalyBCEWithLogits,
    BalancedBCEWithLogits,
    MSEReconstructionLoss,
    OrthogonalityLoss,
    WeightedMultiLoss,
)
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import autoencoder, data, detector, masks, settings


def test_bce_is_scikit_learns_log_loss_over_all_pixels() -> None:
    graph = detector(AnomalyBCEWithLogits())
    value = graph.train(data(), settings()).callback_metrics["val/loss/bce"]
    logits = graph(random_cubes(4, seed=1)).output.flatten().double()
    expected = log_loss(masks(4).flatten(), torch.sigmoid(logits).clamp(1e-15, 1 - 1e-15))
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_balanced_weight_is_normal_over_anomalous_pixels() -> None:
    loss = AnomalyBCEWithLogits(pos_weight="balanced")
    graph = detector(loss)
    datamodule = data()
    graph.train(datamodule, settings())
    anomalous = int(masks(8).sum())
    assert float(loss.positive_weight) == pytest.approx((240 - anomalous) / anomalous)
    assert datamodule.sets["train"].reads == 2 * 4  # MinMax to RX with the counts; then the head's bias
    graph.train(datamodule, settings())
    assert datamodule.sets["train"].reads == 2 * 4
    graph.reset()
    assert bool(loss.positive_weight.isnan())


def test_balanced_weight_without_anomalies_is_an_error() -> None:
    batches = as_batches(random_cubes(4), mask=torch.zeros(4, 6, 5, dtype=torch.bool))
    with pytest.raises(GraphError, match="expected anomalous pixels in the training masks"):
        detector(AnomalyBCEWithLogits(pos_weight="balanced")).train(Batches(batches), settings())


def test_bce_without_masks_names_leaf_and_key() -> None:
    with pytest.raises(GraphError, match=r'`anomaly_bce_with_logits`: expected batch\["mask"\], got keys'):
        detector(AnomalyBCEWithLogits()).train(Batches(as_batches(random_cubes(4))), settings(1))


def signature_graph(loss: Loss) -> Graph:
    graph = Graph()
    graph.add_node(ACE(), name="ace")
    graph.add_node(BranchLogitHead([1.0]), parent="ace", name="head")
    graph.add_leaf_node(loss, parent="head")
    return graph


def test_class_balanced_bce_is_that_of_a_direct_loop_plus_the_anchor() -> None:
    cubes, mask = random_cubes(8), masks(8)
    core = torch.rand(8, 6, 5, generator=torch.Generator().manual_seed(3)) < 0.7
    cubes[2, 4, 1, 1] = float("nan")
    counted = core & cubes.isfinite().all(1)
    graph = signature_graph(BalancedBCEWithLogits(anchor=0.3))
    batches = as_batches(cubes, 3, mask=mask, core=core)
    graph.train(Batches(batches), settings())
    head = graph.nodes["head"]
    assert isinstance(head, BranchLogitHead)
    with torch.no_grad():
        head.feature_weights += 0.2
    logits = graph(cubes).output[:, 0].double()
    sums, counts = [0.0, 0.0], [0, 0]
    for z, y in zip(logits[counted].tolist(), mask[counted].tolist(), strict=True):
        sums[y] += float(np.log1p(np.exp(-z if y else z)))
        counts[y] += 1
    drift = float(head.scale) * 0.2
    expected = sums[0] / counts[0] / 2 + sums[1] / counts[1] / 2 + 0.3 / 2 * drift**2 / (2 * counts[1])
    found = graph.evaluate(Batches(batches), "train", settings())["train/loss/bce"]
    assert found == pytest.approx(expected, rel=1e-5)


def test_class_balanced_bce_says_what_it_needs() -> None:
    nothing = as_batches(random_cubes(4), mask=torch.zeros(4, 6, 5, dtype=torch.bool))
    with pytest.raises(GraphError, match=r"knows its start, such as BranchLogitHead, got RXLogitHead `head`"):
        detector(BalancedBCEWithLogits())
    with pytest.raises(GraphError, match=r"expected anomalous and normal pixels .*, got 0 anomalous of 120"):
        detector(BalancedBCEWithLogits(anchor=0.0)).train(Batches(nothing), settings())
    with pytest.raises(ConfigError, match="anchor: expected 0 or more, got -1"):
        BalancedBCEWithLogits(anchor=-1.0)


@pytest.mark.parametrize("decoder", ["tied", "linear"])
def test_reconstruction_is_the_mean_squared_error_of_what_entered_the_encoder(decoder: str) -> None:
    graph = autoencoder(decoder)
    graph.add_leaf_node(MSEReconstructionLoss(weight=0.5), parent="decoder")
    value = graph.train(data(), settings()).callback_metrics["val/loss/reconstruction"]
    outputs = graph.run(random_cubes(4, seed=1), ["norm", "decoder"])
    expected = torch.nn.functional.mse_loss(outputs["decoder"], outputs["norm"])
    assert float(value) == pytest.approx(float(expected), rel=1e-5)


def test_labels_can_be_the_target_and_must_fit() -> None:
    graph = autoencoder()
    graph.add_leaf_node(MSEReconstructionLoss(use_labels_as_target=True), parent="decoder")
    labels = random_cubes(4, seed=9)
    datamodule = Batches(as_batches(random_cubes(8)), as_batches(random_cubes(4, seed=1), labels=labels))
    value = graph.train(datamodule, settings()).callback_metrics["val/loss/reconstruction"]
    output = graph(random_cubes(4, seed=1)).output
    assert float(value) == pytest.approx(float((output - labels).square().mean()), rel=1e-5)
    wrong = Batches(as_batches(random_cubes(2)), as_batches(random_cubes(2), labels=torch.zeros(2)))
    with pytest.raises(GraphError, match="expected a target of shape"):
        graph.train(wrong, settings())


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_hard_mode_stays_orthonormal_and_still_learns(name: str) -> None:
    graph = autoencoder(orthogonal="hard")
    graph.add_leaf_node(MSEReconstructionLoss(), parent="decoder")
    graph.train(data(), settings())
    pca = graph.nodes["pca"]
    assert isinstance(pca, TrainablePCA)
    rotated, _ = torch.linalg.qr(pca.components.T + 0.3 * torch.randn(7, 3))
    pca.set_state(components=rotated.T)
    before = float(graph.train(data(), settings()).callback_metrics["val/loss/total"])
    after = graph.train(data(), settings(40, lr=0.02, name=name)).callback_metrics["val/loss/total"]
    error = pca.components.detach() @ pca.components.detach().T - torch.eye(3)
    assert float(error.norm()) < 1e-6
    assert float(after) < (before if name == "sgd" else 0.95 * before)


def test_trained_hard_mode_is_saved_as_plain_components(tmp_path: Path) -> None:
    graph = autoencoder(orthogonal="hard")
    graph.add_leaf_node(MSEReconstructionLoss(), parent="decoder")
    graph.train(data(), settings(2))
    assert "nodes.pca.components" in graph.state_dict()
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip")
    assert torch.equal(loaded(random_cubes()).output, graph(random_cubes()).output)
    loaded.train(data(), settings(1))
    loaded.load_state_dict(graph.state_dict())
    torch.testing.assert_close(
        loaded(random_cubes()).output, graph(random_cubes()).output, rtol=1e-5, atol=1e-5
    )


def both() -> tuple[Graph, OrthogonalityLoss, MSEReconstructionLoss]:
    return autoencoder(), OrthogonalityLoss(weight=3.0), MSEReconstructionLoss(weight=7.0)


@pytest.mark.parametrize("attached", [True, False])
def test_each_weight_of_a_multi_loss_counts_once(attached: bool) -> None:
    graph, orth, recon = both()
    graph.add_leaf_node(recon, parent="decoder")
    if attached:
        graph.add_leaf_node(orth, parent="pca")
        graph.add_leaf_node(WeightedMultiLoss([orth, recon], weights=[2.0, 0.5]), parent="decoder")
    else:
        graph.add_leaf_node(WeightedMultiLoss([orth, recon], weights=[2.0, 0.5]), parent="pca")
    graph.train(data(), settings())
    pca = graph.nodes["pca"]
    assert isinstance(pca, TrainablePCA)
    pca.set_state(components=1.1 * pca.components)
    values = graph.train(data(), settings()).callback_metrics
    assert values["val/loss/orthogonality"] > 0.1
    expected = 2.0 * values["val/loss/orthogonality"] + 0.5 * values["val/loss/reconstruction"]
    assert float(values["val/loss/total"]) == pytest.approx(float(expected), rel=1e-6)


def test_learnable_weights_follow_the_formula_learn_and_are_saved(tmp_path: Path) -> None:
    graph, orth, recon = both()
    for loss, parent in ((orth, "pca"), (recon, "decoder")):
        graph.add_leaf_node(loss, parent=parent)
    multi = graph.add_leaf_node(
        WeightedMultiLoss([orth, recon], weights=[1.0, 0.5], learnable=True), parent="pca"
    )
    values = graph.train(data(), settings()).callback_metrics
    losses = [float(values[f"val/loss/{name}"]) for name in ("orthogonality", "reconstruction")]
    s = -np.log(2 * np.array([1.0, 0.5]))
    expected = sum(0.5 * np.exp(-si) * li + np.log1p(np.exp(si)) for si, li in zip(s, losses, strict=True))
    assert float(values["val/loss/total"]) == pytest.approx(expected, rel=1e-5)
    graph.train(data(), settings(3))
    assert not np.allclose(multi.log_variances.detach(), s)
    graph.save_to_file(tmp_path / "graph.zip")
    loaded = Graph.load_from_file(tmp_path / "graph.zip")
    assert torch.equal(loaded.leaves["weighted_multi_loss"].log_variances, multi.log_variances)


def test_learnable_weights_have_a_floor_where_a_loss_is_zero(tmp_path: Path) -> None:
    graph, orth, _ = both()  # orthonormal from the start: the loss is 0 in every epoch
    graph.add_leaf_node(orth, parent="pca")
    graph.add_leaf_node(WeightedMultiLoss([orth], [2.7], learnable=True), parent="pca")
    graph.register_monitor(DummyMonitor(tmp_path))
    graph.train(data(), settings(30, lr=1.0))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    totals = [row["value"] for row in rows if row["name"] == "val/loss/total"]
    assert len(totals) == 30
    assert min(totals) >= 0


def test_a_loss_given_twice_is_refused() -> None:
    graph, orth, recon = both()
    graph.add_leaf_node(recon, parent="decoder")
    graph.add_leaf_node(WeightedMultiLoss([orth], [1.0]), parent="pca")
    before = repr(graph)
    with pytest.raises(GraphError, match="in a graph already"):
        graph.add_leaf_node(orth, parent="pca")
    with pytest.raises(GraphError, match="combined by another leaf"):
        graph.add_leaf_node(WeightedMultiLoss([orth, recon], [1.0, 1.0]), parent="pca")
    with pytest.raises(GraphError, match="no loss of this graph"):
        graph.add_leaf_node(WeightedMultiLoss(["nobody"], [1.0]), parent="pca")
    with pytest.raises(GraphError, match="expected a parent with components"):
        graph.add_leaf_node(WeightedMultiLoss([OrthogonalityLoss()], [1.0]), parent="norm")
    assert repr(graph) == before
    for children, weights in (([orth, orth], [1.0, 1.0]), ([], []), ([orth], [1.0, 2.0]), ([orth], [-1.0])):
        with pytest.raises(ConfigError, match="WeightedMultiLoss"):
            WeightedMultiLoss(children, weights)
    with pytest.raises(ConfigError, match="above 0"):
        WeightedMultiLoss([orth], [0.0], learnable=True)


class Poisoned(Loss):
    """Becomes NaN after some steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.seen = 0

    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT})

    def forward(self, view: View) -> torch.Tensor:
        self.seen += torch.is_grad_enabled()
        factor = float("nan") if self.seen > self.steps else 1.0
        return factor * pooled(view[Read.OUTPUT].square().mean(1, keepdim=True), view.valid)


@pytest.mark.parametrize(("steps", "epoch"), [(0, "0 (1st)"), (3, "0 (1st)"), (5, "1 (2nd)")])
@pytest.mark.parametrize("every", [1, 1000])
@pytest.mark.parametrize("stats", ["frozen", "follow"])
def test_a_loss_that_is_not_finite_stops_training_before_the_weights_are_reached(
    stats: str, steps: int, epoch: str, every: int, tmp_path: Path
) -> None:
    graph = detector(AnomalyBCEWithLogits(), stats=stats)
    graph.add_leaf_node(Poisoned(steps), parent="pca", name="mine")
    keep = ModelCheckpoint(dirpath=tmp_path, save_top_k=-1, every_n_train_steps=1)
    with pytest.raises(
        NonFiniteLossError,
        match=re.escape(f"Poisoned `mine`: NaN or infinite in epoch {epoch}, step {steps + 1}"),
    ):
        graph.train(data(), settings(9, callbacks=[keep], log_every_n_steps=every))
    assert all(bool(tensor.isfinite().all()) for tensor in graph.state_dict().values())
    for checkpoint in tmp_path.glob("*.ckpt"):
        state = torch.load(checkpoint, weights_only=True)["state_dict"]
        assert all(bool(tensor.isfinite().all()) for tensor in state.values())
    assert len(list(tmp_path.glob("*.ckpt"))) == steps


def follow_graph(dtype: torch.dtype = torch.float32) -> Graph:
    graph = detector(AnomalyBCEWithLogits(), stats="follow").to(dtype)
    train = Batches(as_batches(random_cubes(8, dtype=dtype), mask=masks(8)))
    graph.train(train, settings())
    return graph


def test_following_statistics_are_those_of_the_moved_components() -> None:
    graph = detector(AnomalyBCEWithLogits(), stats="follow")
    graph.train(data(), settings())
    start = graph.nodes["rx"].cov.clone()
    graph.train(data(), settings(10, lr=0.05))
    moments = Moments()
    moments.update(pixels_of(graph.run(random_cubes(8), ["pca"])["pca"].double()))
    rx = graph.nodes["rx"]
    assert not torch.allclose(rx.cov, start, rtol=0.1)
    scale = float(moments.covariance().abs().max())
    assert float((rx.cov - moments.covariance()).abs().max()) < 1e-6 * max(scale, 1.0)
    assert float((rx.mu - moments.mean).abs().max()) < 1e-6 * max(float(moments.mean.abs().max()), 1.0)
    fresh = RXGlobal()
    fresh.finalize(moments)
    pcs = graph.run(random_cubes(seed=4), ["pca", "rx"])
    torch.testing.assert_close(pcs["rx"], fresh(pcs["pca"]), rtol=1e-4, atol=1e-4)


def test_frozen_statistics_stay_as_fitted_while_the_components_move() -> None:
    graph = detector(AnomalyBCEWithLogits())
    graph.train(data(), settings())
    before = graph.nodes["rx"].cov.clone()
    graph.train(data(), settings(5, lr=0.05))
    assert torch.equal(graph.nodes["rx"].cov, before)


def test_gradient_through_following_statistics() -> None:
    graph = follow_graph(torch.float64)
    pca = graph.nodes["pca"]
    assert isinstance(pca, TrainablePCA)
    pca.prepare_for_train()
    cube = random_cubes(1, h=2, w=2, seed=3, dtype=torch.float64)
    point = ("rx",)

    def scores(components: torch.Tensor) -> torch.Tensor:
        del pca._parameters["components"]
        pca.components = components
        try:
            return graph._members.execution.evaluate(cube, [point]).values[point]
        finally:
            del pca.components
            pca._parameters["components"] = parameter

    parameter = pca._parameters["components"]
    assert parameter is not None
    assert torch.autograd.gradcheck(scores, (parameter.detach().clone().requires_grad_(),))


def test_following_does_not_change_under_an_invertible_change_of_components() -> None:
    """RX is invariant under invertible maps, if its statistics follow."""
    graph = follow_graph()
    cube = random_cubes(seed=4)
    before = graph.run(cube, ["rx"])["rx"]
    pca = graph.nodes["pca"]
    assert isinstance(pca, TrainablePCA)
    pca.set_state(components=torch.randn(3, 3) @ pca.components)
    torch.testing.assert_close(graph.run(cube, ["rx"])["rx"], before, rtol=1e-3, atol=1e-3)


def test_followed_singular_covariance_names_the_node_and_the_remedy() -> None:
    graph = follow_graph()
    pca = graph.nodes["pca"]
    assert isinstance(pca, TrainablePCA)
    pca.set_state(components=torch.zeros(3, 7))
    with pytest.raises(GraphError, match=r"RXGlobal `rx`: expected a covariance of full rank.*`eps`"):
        graph(random_cubes())


def test_following_and_training_the_statistics_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="trainable_stats"):
        RXGlobal(trainable_stats=True, stats="follow")


def test_leaf_on_scores_is_not_taken_for_logits() -> None:
    graph = Graph()
    rx = graph.add_node(RXGlobal())
    with pytest.raises(GraphError, match="expected a parent that emits logits"):
        graph.add_leaf_node(AnomalyBCEWithLogits(), parent=rx)
