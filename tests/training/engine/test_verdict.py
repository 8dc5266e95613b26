"""Training is kept if pixels that it has not seen are ranked as well as before."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from sklearn.metrics import roc_auc_score

from cuvis_ai.anomaly.branch_logit_head import BranchLogitHead
from cuvis_ai.functional.detection import Ranking, ranks_as_well
from cuvis_ai.leaf.bases import Loss
from cuvis_ai.leaf.reading import Read, View
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.target.ace import ACE
from cuvis_ai.training.engine.verdict import Strip
from cuvis_ai.training.losses import BalancedBCEWithLogits
from cuvis_ai.training.metrics import AnomalyDetectionMetrics
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import settings


class Push(Loss):
    """Moves the head's weight by the learning rate in each step, up or down."""

    is_judged = True

    def __init__(self, towards: float) -> None:
        super().__init__()
        self.towards = towards

    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT})

    def forward(self, view: View) -> torch.Tensor:
        assert isinstance(view.parent, BranchLogitHead)
        return -self.towards * view.parent.feature_weights.sum()


class FreePush(Push):
    """The same, not judged."""

    is_judged = False


def planted(n: int, mask: torch.Tensor | None = None, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Cubes of 8 x 5 pixels with a spectrum planted where the mask (8, 5) says, else at every 7th pixel."""
    every = (torch.arange(n * 40) % 7 == 0).view(n, 8, 5)
    mask = every if mask is None else mask.expand(n, 8, 5).clone()
    spectrum = torch.tensor([1.0, -1, 1, -1, 1, -1, 1])[:, None, None]
    return {"cubes": random_cubes(n, h=8, seed=seed) + 6.0 * mask[:, None] * spectrum, "mask": mask}


def block(rows: slice, columns: slice) -> torch.Tensor:
    mask = torch.zeros(8, 5, dtype=torch.bool)
    mask[rows, columns] = True
    return mask


def graph_with(loss: Loss) -> tuple[Graph, BranchLogitHead]:
    graph = Graph()
    graph.add_node(ACE(), name="ace")
    head = graph.add_node(BranchLogitHead([1.0]), parent="ace", name="head")
    graph.add_leaf_node(loss, parent="head")
    graph.add_leaf_node(AnomalyDetectionMetrics(threshold=0.5), parent="head")
    return graph, head


TRAIN, VAL = as_batches(**planted(6)), as_batches(**planted(4, seed=1))
DOWN = {"lr": 0.5, "name": "sgd"}  # 3 batches an epoch: from 1 to −0.5


@pytest.mark.parametrize(
    ("auroc", "precision", "kept"),
    [(0.9, 0.5, True), (0.8991, 0.4951, True), (0.8989, 0.5, False), (1.0, 0.4949, False)],
)
def test_a_ranking_may_fall_by_a_thousandth_in_auroc_and_five_in_precision(
    auroc: float, precision: float, kept: bool
) -> None:
    assert ranks_as_well(Ranking(auroc, precision), Ranking(0.9, 0.5)) is kept


def test_a_ranking_that_validates_worse_is_undone_with_its_values(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    graph, head = graph_with(Push(-1.0))
    trainer = graph.train(Batches(TRAIN, VAL), settings(1, **DOWN))
    assert head.feature_weights.tolist() == [1.0]
    assert "Returned to the start, which ranks better: AUROC" in caplog.text
    assert "on the validation split" in caplog.text
    scores = graph(planted(4, seed=1)["cubes"]).output.detach().flatten()
    expected = roc_auc_score(planted(4, seed=1)["mask"].flatten(), scores)
    assert expected > 0.9
    assert float(trainer.callback_metrics["val/metric/anomaly_auroc"]) == pytest.approx(expected, abs=1e-6)


def test_a_ranking_that_validates_as_well_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    graph, head = graph_with(Push(1.0))
    graph.train(Batches(TRAIN, VAL), settings(1, **DOWN))
    assert head.feature_weights.tolist() == [2.5]
    assert "Kept the trained state: AUROC" in caplog.text


def test_judging_draws_no_random_number() -> None:
    """Nor does it leave nodes in another mode: training goes as it would without."""

    class Noted(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            states.append((torch.get_rng_state(), all(part.training for part in pl_module.modules())))

    states: list[tuple[torch.Tensor, bool]] = []
    for loss in (Push(1.0), FreePush(1.0)):
        graph_with(loss)[0].train(Batches(TRAIN, VAL), settings(1, callbacks=[Noted()], **DOWN))
    (judged, training), (free, training_without) = states
    assert torch.equal(judged, free)
    assert training is training_without


def test_one_rank_says_what_is_kept(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    monkeypatch.setattr(Trainer, "is_global_zero", False)
    graph, head = graph_with(Push(1.0))
    graph.train(Batches(TRAIN, VAL), settings(1, **DOWN))
    assert head.feature_weights.tolist() == [2.5]
    assert "Kept the trained state" not in caplog.text


def test_losses_that_are_not_judged_train_as_ever() -> None:
    graph, head = graph_with(FreePush(-1.0))
    graph.train(Batches(TRAIN, VAL), settings(1, **DOWN))
    assert head.feature_weights.tolist() == [-0.5]


@pytest.mark.parametrize("normal_validation", [False, True])
def test_without_both_classes_in_validation_a_strip_of_the_training_cubes_judges(
    normal_validation: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    val = as_batches(random_cubes(2, h=8), mask=torch.zeros(2, 8, 5, dtype=torch.bool))
    graph, head = graph_with(Push(-1.0))
    graph.train(Batches(TRAIN, val if normal_validation else ()), settings(1, **DOWN))
    assert head.feature_weights.tolist() == [1.0]
    assert "on the bottom quarter of the training cubes" in caplog.text


def test_the_gradient_phase_does_not_count_the_strip() -> None:
    """What happens in the strip changes nothing that is trained, only whether it is kept."""

    def trained(spoilt: bool) -> torch.Tensor:
        parts = planted(6)
        graph, head = graph_with(BalancedBCEWithLogits())
        graph.train(Batches(as_batches(**parts)), settings())
        if spoilt:  # after the statistics
            parts["mask"][:, 6:] = torch.arange(5) == 2
        graph.train(Batches(as_batches(**parts)), settings(3, lr=1e-3))
        return torch.cat([head.feature_weights, head.log_scale, head.bias]).detach()

    moved = trained(spoilt=False)
    assert float(moved[0]) != 1.0
    assert torch.equal(trained(spoilt=True), moved)


@pytest.mark.parametrize(
    ("mask", "chosen"),
    [
        (block(slice(None), slice(1, 3)), "bottom quarter"),  # rows 6 and 7
        (block(slice(0, 5), slice(None)), "right quarter"),  # column 4: none is in rows 6 and 7
        (block(slice(0, 5), slice(1, 4)), "top quarter"),
        (block(slice(3, 5), slice(1, 4)), "bottom half"),  # none is nearer to a margin
        (block(slice(6, 8), slice(None)), "right quarter"),  # the bottom quarter would leave none
    ],
)
def test_the_first_strip_with_anomalies_inside_and_outside_is_taken(
    mask: torch.Tensor, chosen: str, caplog: pytest.LogCaptureFixture
) -> None:
    graph, _ = graph_with(Push(1.0))
    caplog.set_level(logging.INFO)
    graph.train(Batches(as_batches(**planted(6, mask))), settings(1))
    assert f"on the {chosen} of the training cubes" in caplog.text


def test_strips_are_margins_of_each_cube() -> None:
    cube = torch.zeros(2, 3, 8, 9)
    expected = torch.zeros(2, 8, 9, dtype=torch.bool)
    expected[:, 6:] = True
    assert torch.equal(Strip("bottom", 4).inside(cube), expected)
    assert torch.equal(Strip("top", 4).inside(cube), expected.flip(1))
    expected = torch.zeros(2, 8, 9, dtype=torch.bool)
    expected[:, :, 6:] = True
    assert torch.equal(Strip("right", 3).inside(cube), expected)
    assert torch.equal(Strip("left", 3).inside(cube), expected.flip(2))


def test_too_few_anomalies_to_judge_by_keep_the_start(caplog: pytest.LogCaptureFixture) -> None:
    parts = planted(1, block(slice(0, 2), slice(0, 2)))
    assert int(parts["mask"].sum()) < 5
    graph, head = graph_with(Push(1.0))
    graph.train(Batches(as_batches(**parts)), settings(1, **DOWN))
    assert head.feature_weights.tolist() == [1.0]
    assert "Training cannot be judged" in caplog.text
    assert "Returned to the start: training could not be judged" in caplog.text


def test_a_resumed_run_is_judged_against_the_first_start(tmp_path: Path) -> None:
    def run(epochs: int, ckpt: Any = None) -> BranchLogitHead:
        graph, head = graph_with(Push(-1.0))
        keeper = ModelCheckpoint(dirpath=tmp_path, filename="last")
        graph.train(Batches(TRAIN, VAL), settings(epochs, callbacks=[keeper], **DOWN), ckpt_path=ckpt)
        return head

    run(2)  # its checkpoint is of the trained state
    assert run(3, tmp_path / "last.ckpt").feature_weights.tolist() == [1.0]
    # Nothing is left to train.
    newest = max(tmp_path.glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    assert run(3, newest).feature_weights.tolist() == [1.0]
