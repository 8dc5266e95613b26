"""Statistics downstream of a choice of bands, derived again."""

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.anomaly.rx_logit_head import RXLogitHead
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from cuvis_ai.training.engine.rederivation import derive_downstream
from tests.cubes import Batches, as_batches, random_cubes

ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, accelerator="cpu", enable_progress_bar=False))
CUBES = random_cubes(6)


def fitted(logits: list[float] | None, *, orthogonal: str = "soft") -> Graph:
    graph = Graph()
    graph.add_node(MinMaxNormalizer(), name="normalizer")
    selector = graph.add_node(
        SoftChannelSelector(3, init_method="uniform"), parent="normalizer", name="selector"
    )
    if logits is not None:
        selector.logits.data = torch.tensor(logits)
    graph.add_node(TrainablePCA(2, trainable=True, orthogonal=orthogonal), parent="selector", name="pca")
    graph.add_node(RXGlobal(), parent="pca", name="rx")
    graph.add_node(RXLogitHead(), parent="rx", name="head")
    graph.train(Batches(as_batches(CUBES)), ONLY)
    return graph


OTHER = [0.0, 2.0, 2.0, 0.0, 0.0, 2.0, 0.0]


def test_they_are_those_of_a_fit_on_the_new_choice() -> None:
    graph, expected = fitted(None), fitted(OTHER)
    graph.nodes["selector"].logits.data = torch.tensor(OTHER)
    assert derive_downstream(graph._members.execution, "selector") == ["head"]
    for name in ("pca", "rx"):
        for state in graph.nodes[name].state_shapes:
            torch.testing.assert_close(
                getattr(graph.nodes[name], state), getattr(expected.nodes[name], state)
            )


@pytest.mark.parametrize("orthogonal", ["soft", "hard"])
def test_trained_weights_stay_the_same_objects(orthogonal: str) -> None:
    graph = fitted(None, orthogonal=orthogonal)
    pca = graph.nodes["pca"]
    pca.prepare_for_train()
    before, mean = dict(pca.named_parameters()), pca.mean
    graph.nodes["selector"].logits.data = torch.tensor(OTHER)
    derive_downstream(graph._members.execution, "selector")
    assert all(parameter is before[name] for name, parameter in pca.named_parameters())
    assert not torch.equal(pca.mean, mean)
