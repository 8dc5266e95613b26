"""Losses of an epoch: those of sums over pixels are of all pixels, whatever the batches and ranks."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from cuvis_ai.leaf.pooled_loss import PooledLoss
from cuvis_ai.leaf.reading import Read, View
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.losses import WeightedMultiLoss
from cuvis_ai.training.monitors import DummyMonitor
from tests.cubes import Batches, random_cubes
from tests.graphs import masks, scoring, settings

UNEVEN = ((1, 3, 2), (2, 1, 1, 2), (6,))


class Closeness(PooledLoss):
    """Spread of normal scores over that spread plus the squared distance of the class means."""

    log_name = "closeness"

    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT, Read.MASK})

    def sums(self, view: View) -> Tensor:
        scores, mask = view[Read.OUTPUT][:, 0], view[Read.MASK]
        counted = torch.ones_like(mask) if view.valid is None else view.valid
        normal, anomalous = (~mask & counted).to(scores), (mask & counted).to(scores)
        return torch.stack(
            [normal.sum(), (normal * scores).sum(), (normal * scores.square()).sum(),
             anomalous.sum(), (anomalous * scores).sum()]
        )  # fmt: skip

    def of_sums(self, sums: Tensor) -> Tensor:
        n0, total0, squares0, n1, total1 = sums.unbind()
        mean = total0 / n0.clamp(min=1)
        spread = squares0 / n0.clamp(min=1) - mean.square()
        return spread / (spread + (total1 / n1.clamp(min=1) - mean).square()).clamp(min=1e-12)


def batches(sizes: Sequence[int], seed: int = 1) -> list[dict[str, Tensor]]:
    """Six cubes in batches of these sizes; two pixels have no data, and the first cube no anomaly."""
    cubes, mask, valid = random_cubes(6, seed=seed), masks(6), torch.ones(6, 6, 5, dtype=torch.bool)
    mask[0] = False
    valid[1, 0, 0] = valid[4, 2, 3] = False
    assert bool(mask[1, 0, 0] | mask[4, 2, 3])
    parts = (torch.split(one, list(sizes)) for one in (cubes, mask, valid))
    return [{"cube": c, "mask": m, "valid": v} for c, m, v in zip(*parts, strict=True)]


def by_definition(graph: Graph, split: Sequence[dict[str, Tensor]]) -> float:
    """Of all pixels at once, in float64."""
    scores = torch.cat([graph(one["cube"], valid=one["valid"]).output[:, 0].flatten() for one in split])
    mask = torch.cat([one["mask"].flatten() for one in split])
    valid = torch.cat([one["valid"].flatten() for one in split])
    normal, anomalous = scores[~mask & valid].double().numpy(), scores[mask & valid].double().numpy()
    spread = normal.var()
    return float(spread / (spread + (anomalous.mean() - normal.mean()) ** 2))


@pytest.mark.parametrize("sizes", UNEVEN, ids=str)
def test_validation_and_start_have_the_loss_of_the_whole_split(sizes: tuple[int, ...]) -> None:
    graph = scoring()
    graph.add_leaf_node(Closeness(weight=0.5), parent="head")
    split = batches(sizes)
    trainer = graph.train(Batches(batches((2, 4), seed=0), split), settings(0))
    expected = by_definition(graph, split)
    assert float(trainer.callback_metrics["val/loss/closeness"]) == pytest.approx(expected, rel=1e-5)
    assert float(trainer.callback_metrics["val/loss/total"]) == pytest.approx(expected / 2, rel=1e-5)
    trained = graph.train(Batches(batches((2, 4), seed=0), split), settings(1))
    assert float(trained.callback_metrics["start/loss/closeness"]) == pytest.approx(expected, rel=1e-5)


def test_a_step_has_the_loss_of_its_batch_and_the_epoch_that_of_all_its_pixels(tmp_path: Path) -> None:
    graph = scoring()
    graph.add_leaf_node(Closeness(), parent="head")
    train = batches((1, 3, 2))
    graph.train(Batches(train), settings(0))
    expected = by_definition(graph, train)
    each = [by_definition(graph, [one]) for one in train[1:]]  # the first has no anomaly
    graph.register_monitor(DummyMonitor(tmp_path))
    trainer = graph.train(Batches(train), settings(1, lr=1e-12, log_every_n_steps=1))
    assert float(trainer.callback_metrics["train/loss/closeness"]) == pytest.approx(expected, rel=1e-5)
    rows = [json.loads(row) for row in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    steps = [row["value"] for row in rows if row["name"] == "train/loss/closeness_step"]
    assert steps[1:] == pytest.approx(each, rel=1e-5)


def test_it_counts_in_a_composite() -> None:
    graph = scoring()
    closeness = graph.add_leaf_node(Closeness(), parent="head")
    graph.add_leaf_node(WeightedMultiLoss([closeness.name], weights=[3.0]), parent="head")
    split = batches((1, 5))
    trainer = graph.train(Batches(batches((6,), seed=0), split), settings(0))
    expected = by_definition(graph, split)
    assert float(trainer.callback_metrics["val/loss/total"]) == pytest.approx(3 * expected, rel=1e-5)
