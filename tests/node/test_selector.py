"""The choice of k bands, and graphs after it."""

import logging
from pathlib import Path

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.config import TrainerConfig, TrainingConfig
from tests.cubes import Batches, as_batches, random_cubes

ONLY = TrainingConfig(trainer=TrainerConfig(max_epochs=0, accelerator="cpu", enable_progress_bar=False))
CUBES = random_cubes(6)
MASK = torch.zeros(6, 6, 5, dtype=torch.bool)
MASK[:, 2, 2:4] = True


def fitted(selector: SoftChannelSelector, *, masks: bool = True) -> tuple[Graph, SoftChannelSelector]:
    graph = Graph()
    graph.add_node(selector)
    graph.train(Batches(as_batches(CUBES, **({"mask": MASK} if masks else {}))), ONLY)
    return graph, selector


@pytest.mark.parametrize(("masks", "method"), [(True, "separability"), (False, "explained")])
def test_auto_goes_by_the_masks(masks: bool, method: str) -> None:
    _, auto = fitted(SoftChannelSelector(3), masks=masks)
    _, named = fitted(SoftChannelSelector(3, init_method=method), masks=masks)
    assert torch.equal(auto.logits, named.logits)


def test_separability_without_masks_is_refused() -> None:
    with pytest.raises(GraphError, match="got no anomalous one"):
        fitted(SoftChannelSelector(3, init_method="separability"), masks=False)


def test_the_output_are_the_chosen_bands_in_spectral_order() -> None:
    graph, selector = fitted(SoftChannelSelector(3))
    bands = sorted(selector.get_selected_channels().tolist())
    torch.testing.assert_close(graph(CUBES).output, CUBES[:, bands], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("node", [lambda: RXGlobal(), lambda: TrainablePCA(2)])
def test_a_hard_graph_scores_as_one_on_the_sliced_cube(node: object) -> None:
    graph = Graph()
    graph.add_node(MinMaxNormalizer())
    selector = graph.add_node(SoftChannelSelector(3), parent="min_max_normalizer")
    graph.add_node(node(), parent=selector)  # type: ignore[operator]
    graph.train(Batches(as_batches(CUBES, mask=MASK)), ONLY)
    bands = sorted(selector.get_selected_channels().tolist())
    sliced = Graph()
    sliced.add_node(MinMaxNormalizer())
    sliced.add_node(node(), parent="min_max_normalizer")  # type: ignore[operator]
    sliced.train(Batches(as_batches(CUBES[:, bands])), ONLY)
    torch.testing.assert_close(graph(CUBES).output, sliced(CUBES[:, bands]).output, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("logits", [torch.zeros(7), torch.tensor([1.0, 2, 2, 2, 2, 0, 0])])
def test_tied_logits_choose_exactly_k(logits: torch.Tensor) -> None:
    selector = SoftChannelSelector(3)
    selector.logits.data = logits
    assert len(set(selector.get_selected_channels().tolist())) == 3
    assert float(selector.get_selection_weights(hard=True).sum()) == 3
    assert selector(CUBES).shape[1] == 3


def test_written_logits_count_as_fitted_and_survive_the_statistical_phase() -> None:
    selector = SoftChannelSelector(2)
    assert isinstance(selector.logits, torch.nn.Parameter)
    assert not selector.fitted
    selector.logits.data = torch.tensor([0.0, 5, 0, 0, 4, 0, 0])
    assert selector.fitted
    fitted(selector)
    assert selector.logits.tolist() == [0, 5, 0, 0, 4, 0, 0]
    assert selector.correlation.shape == (7, 7)


def test_written_logits_of_another_length_are_refused() -> None:
    selector = SoftChannelSelector(2)
    selector.logits.data = torch.zeros(5)
    with pytest.raises(GraphError, match="expected 5 channels"):
        fitted(selector)


def test_a_prior_moves_the_choice() -> None:
    _, plain = fitted(SoftChannelSelector(2, init_method="uniform"))
    assert sorted(plain.get_selected_channels().tolist()) == [0, 6]
    _, moved = fitted(SoftChannelSelector(2, init_method="uniform", prior={3: 5.0}))
    assert moved.get_selected_channels().tolist() == [3, 0]
    with pytest.raises(GraphError, match="prior: expected numbers of bands below 7"):
        fitted(SoftChannelSelector(2, prior={"red": 1.0}))


def test_too_many_channels_are_refused() -> None:
    with pytest.raises(GraphError, match=r"n_select=8: expected at most the 7 channels"):
        fitted(SoftChannelSelector(8))
    _, all_of_them = fitted(SoftChannelSelector(7))
    assert all_of_them.get_selection_weights().tolist() == [1] * 7


def test_probabilities_are_indexed_by_the_selected_channels() -> None:
    _, selector = fitted(SoftChannelSelector(3))
    probabilities = selector.get_selection_probabilities()
    assert float(probabilities.sum()) == pytest.approx(1)
    entropy = torch.distributions.Categorical(probs=probabilities).entropy()
    torch.testing.assert_close(selector.compute_entropy(), entropy)
    chosen = probabilities[selector.get_selected_channels()].tolist()
    assert chosen == sorted(chosen, reverse=True)
    assert selector.get_top_k_channels(2).tolist() == selector.get_selected_channels().tolist()[:2]
    assert selector.channel_logits is selector.logits


def test_variance_says_that_it_picks_neighbours(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        _, selector = fitted(SoftChannelSelector(2, init_method="variance"))
    assert "picks neighbours" in caplog.text
    variances = CUBES.var((0, 2, 3))
    assert selector.get_selected_channels().tolist() == variances.argsort(descending=True)[:2].tolist()


def test_the_temperature_is_a_function_of_the_epoch() -> None:
    selector = SoftChannelSelector(2)
    for epoch, expected in ((0, 5.0), (19, 0.675), (60, 0.1)):
        selector.update_temperature(epoch)
        assert f"{selector.temperature:.3f}" == f"{expected:.3f}"
    assert selector.settled
    with pytest.raises(ConfigError, match="max_epochs"):
        SoftChannelSelector(2, temperature_decay=None).update_temperature(1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_select": 0}, {"init_method": "best"}, {"temperature_min": 0.0}, {"temperature_init": 0.05},
        {"temperature_decay": 1.5}, {"eps": -1.0},
    ],
)  # fmt: skip
def test_impossible_arguments_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SoftChannelSelector(**{"n_select": 2, **wrong})  # type: ignore[arg-type]


def test_state_and_history_are_saved(tmp_path: Path) -> None:
    graph, selector = fitted(SoftChannelSelector(3, prior={2: 0.5, 4: 0.25}))
    selector.receive_wavelengths([400 + 10.5 * i for i in range(7)])
    selector.update_temperature(3)
    selector.record(3)
    graph.save_to_file(tmp_path / "graph.zip")
    again = Graph.load_from_file(tmp_path / "graph.zip").nodes["soft_channel_selector"]
    assert isinstance(again, SoftChannelSelector)
    assert again.selected_wavelengths == selector.selected_wavelengths
    assert torch.equal(again.history, selector.history)
    assert again.history[:, 0].tolist() == [-1, 3]
    assert float(again.temperature) == pytest.approx(5 * 0.9**3)


WRITTEN = {
    "NaN": torch.tensor([0.0, float("nan"), 1.0, 2.0]),
    "whole": torch.arange(4),
    "a column": torch.zeros(4, 1),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_logits_that_cannot_be_ranked_are_refused(name: str) -> None:
    selector = SoftChannelSelector(2)
    selector.logits.data = WRITTEN[name]
    for use in (
        selector.get_selected_channels,
        selector.get_selection_probabilities,
        selector.compute_entropy,
        selector.affine,
    ):
        with pytest.raises(GraphError, match="logits: expected one floating-point number a channel"):
            use()


def test_impossible_arguments_of_methods() -> None:
    selector = SoftChannelSelector(2)
    selector.logits.data = torch.tensor([0.0, 3.0, 1.0, 2.0])
    for k in (0, -1, 5):
        with pytest.raises(ConfigError, match="k: expected 1 to 4"):
            selector.get_top_k_channels(k)
    with pytest.raises(ConfigError, match="epoch: expected a whole number, 0 or more"):
        selector.update_temperature(-1)
