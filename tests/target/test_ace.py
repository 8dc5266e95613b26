"""ACE against its definition in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.stats import MomentsByClass
from cuvis_ai.target.ace import ACE
from cuvis_ai.types import CUBE
from tests.cubes import Batches, as_batches, random_cubes
from tests.graphs import STATISTICS_ONLY, masks

CUBES = random_cubes(6, dtype=torch.float64) * torch.tensor([1.0, 5, 0.2, 1, 30, 2, 1])[:, None, None] + 100
MASK = masks(6)

Array = NDArray[np.float64]


def pixels(cubes: torch.Tensor) -> Array:
    return cubes.permute(0, 2, 3, 1).reshape(-1, cubes.shape[1]).double().numpy()


def by_definition(train: Array, test: Array, signature: Array, shrinkage: float = 1e-4) -> Array:
    """(xᵀs)|xᵀs| / (|x|²|s|²) with the inner product of the regularized inverse covariance."""
    covariance = np.cov(train.T)
    inverse = np.linalg.inv(
        covariance + shrinkage * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    )
    x = test - train.mean(0)
    along = x @ inverse @ signature
    energy = np.einsum("ni,ij,nj->n", x, inverse, x)
    return along * np.abs(along) / (energy * (signature @ inverse @ signature))


def fitted(node: ACE, batches: list[dict[str, Any]], *before: MinMaxNormalizer) -> Graph:
    graph = Graph()
    previous = None
    for one in (*before, node):
        previous = graph.add_node(one, parent=previous)
    graph.to(batches[0]["cube"].dtype)
    graph.train(Batches(batches), STATISTICS_ONLY)
    return graph


def test_signature_from_the_masks_is_that_of_numpy() -> None:
    train, truth = pixels(CUBES), MASK.flatten().numpy()
    expected = by_definition(train, train, train[truth].mean(0) - train[~truth].mean(0))
    graph = fitted(ACE(), as_batches(CUBES, mask=MASK))
    np.testing.assert_allclose(graph(CUBES).output.flatten(), expected, rtol=1e-9, atol=1e-12)


def test_a_given_spectrum_is_taken_relative_to_the_mean_and_needs_no_masks() -> None:
    train = pixels(CUBES)
    spectrum = train[3] * 1.5
    expected = by_definition(train, train, spectrum - train.mean(0), 0.02)
    graph = fitted(ACE(spectrum.tolist(), shrinkage=0.02), as_batches(CUBES))
    scores = graph(CUBES).output.flatten()
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-12)
    assert ACE([1.0, 2.0]).requires_initial_fit


def test_signature_of_a_labelled_region_leaves_the_masks_to_others() -> None:
    """Labels and masks mark different pixels, in one pass."""
    labels = torch.randint(0, 4, (6, 6, 5), generator=torch.Generator().manual_seed(2))
    train, truth = pixels(CUBES), labels.flatten().numpy() == 3
    expected = by_definition(train, train, train[truth].mean(0) - train[~truth].mean(0))
    data = Batches(as_batches(CUBES, mask=MASK, labels=labels))
    graph = Graph()
    graph.add_node(ACE(region=3), name="of_region")
    graph.add_node(ACE(), parent=CUBE, name="of_mask")
    graph.to(torch.float64)
    graph.train(data, STATISTICS_ONLY)
    outputs = graph.run(CUBES, ["of_region", "of_mask"])
    np.testing.assert_allclose(outputs["of_region"].flatten(), expected, rtol=1e-9, atol=1e-12)
    alone = fitted(ACE(), as_batches(CUBES, mask=MASK))(CUBES).output
    torch.testing.assert_close(outputs["of_mask"], alone)
    assert data.sets["train"].reads == len(data.sets["train"])


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"mask": MASK}, "training labels, got no anomalous one among 180 valid pixels: no batch has labels"),
        ({"labels": torch.ones(6, 6, 5)}, "got no anomalous one among 180 valid pixels"),
        ({"labels": torch.ones(6)}, r"labels: expected one flag a pixel, \(2, 6, 5\)"),
    ],
)
def test_a_region_that_is_not_there_is_refused(others: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        fitted(ACE(region=3), as_batches(CUBES, **others))
    with pytest.raises(ConfigError, match="ACE: region: expected None with a `signature`, got 3"):
        ACE([1.0], region=3)


def test_float32_agrees_with_float64() -> None:
    cubes = (CUBES * 200).round().float()  # as a sensor counts
    truth = MASK.flatten().numpy()
    train = pixels(cubes)
    expected = by_definition(train, train, train[truth].mean(0) - train[~truth].mean(0))
    scores = fitted(ACE(), as_batches(cubes, mask=MASK))(cubes).output.flatten().numpy()
    error = np.abs(scores - expected) / expected.std()
    assert np.median(error) < 1e-5
    assert error.max() < 1e-4


def test_invalid_pixels_and_batches_change_nothing() -> None:
    valid = torch.rand(6, 6, 5, generator=torch.Generator().manual_seed(1)) < 0.8
    spoilt = torch.where(valid[:, None], CUBES, float("nan"))
    chosen = valid.flatten().numpy()
    train, truth = pixels(CUBES)[chosen], MASK.flatten().numpy()[chosen]
    expected = by_definition(train, train, train[truth].mean(0) - train[~truth].mean(0))
    for size in (1, 4):
        scores = fitted(ACE(), as_batches(spoilt, size, mask=MASK))(spoilt).output.flatten()
        np.testing.assert_allclose(scores[chosen], expected, rtol=1e-9, atol=1e-12)
        assert bool(scores[~valid.flatten()].isnan().all())


def test_after_a_normalizer_it_is_fitted_in_the_same_pass_from_what_leaves_it() -> None:
    data = Batches(as_batches(CUBES, mask=MASK))
    graph = Graph()
    scaled = graph.add_node(MinMaxNormalizer())
    graph.add_node(ACE(), parent=scaled)
    graph.to(torch.float64)
    graph.train(data, STATISTICS_ONLY)
    assert data.sets["train"].reads == len(data.sets["train"])
    entering = graph.run(CUBES, [scaled])[scaled.name or ""]
    train, truth = pixels(entering), MASK.flatten().numpy()
    expected = by_definition(train, train, train[truth].mean(0) - train[~truth].mean(0))
    np.testing.assert_allclose(graph(CUBES).output.flatten(), expected, rtol=1e-8, atol=1e-11)


def test_score_is_1_along_the_signature_minus_1_against_it_and_0_at_the_mean() -> None:
    spectrum = pixels(CUBES)[3]
    node = ACE(spectrum.tolist())
    fitted(node, as_batches(CUBES))
    mean = node.mean
    towards = torch.from_numpy(spectrum) - mean
    found = node(torch.stack([mean + 0.1 * towards, mean - 7 * towards, mean])[..., None, None]).flatten()
    np.testing.assert_allclose(found, [1.0, -1.0, 0.0], atol=1e-12)


def test_directions_without_variance_are_left_out() -> None:
    copied = torch.cat([CUBES, 2 * CUBES[:, :1]], 1)
    node = ACE()
    fitted(node, as_batches(copied, mask=MASK))
    assert node.whitening.shape == (7, 8)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({}, r"ACE `ace`: .*training masks, got no anomalous .* 180 valid pixels: no batch has masks"),
        ({"mask": torch.zeros_like(MASK)}, r"ACE `ace`: .*training masks, got no anomalous one among 180 valid pixels\."),
        ({"mask": torch.ones_like(MASK)}, r"ACE `ace`: .*training masks, got no normal one"),
    ],
)  # fmt: skip
def test_masks_without_both_classes_are_refused_by_name(others: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        fitted(ACE(), as_batches(CUBES, **others))


def test_a_signature_that_says_nothing_is_refused() -> None:
    node = ACE(pixels(CUBES).mean(0).tolist())
    alike = torch.ones(2, 7, 6, 5, dtype=torch.float64)
    with pytest.raises(GraphError, match="signature: expected a spectrum that differs from the mean"):
        fitted(ACE(), as_batches(alike, mask=MASK[:2]))
    with pytest.raises(GraphError, match="signature: expected 7 values, one for each channel .* got 3"):
        fitted(ACE([1.0, 2.0, 3.0]), as_batches(CUBES))
    with pytest.raises(ConfigError, match="ACE: shrinkage: expected 0 or more, got -1"):
        ACE(shrinkage=-1.0)
    with pytest.raises(ConfigError, match=r"ACE: signature: expected one value a channel, got \[\]"):
        ACE([])
    with pytest.raises(ConfigError, match=r"ACE: `signature`\[1\]: expected a finite number, got nan"):
        ACE([1.0, float("nan")])
    assert node.sketch is not MomentsByClass


def test_a_trained_signature_keeps_the_scores_range() -> None:
    node = ACE(trainable=True)
    fitted(node, as_batches(CUBES, mask=MASK))
    before = node(CUBES)
    node.prepare_for_train()
    with torch.no_grad():
        node.signature_direction *= 5  # its length says nothing
    torch.testing.assert_close(node(CUBES).detach(), before)
