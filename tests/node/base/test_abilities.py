"""What some nodes can do besides mapping cubes is asked by methods, whatever state they are in."""

from typing import Any

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.node.base import Node
from cuvis_ai.node.base.abilities import (
    Decodes,
    Follows,
    Projection,
    Projects,
    follower,
)
from cuvis_ai.node.decoder import LinearDecoder, PCADecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.stats import Moments
from tests.cubes import random_cubes


def fitted(node: TrainablePCA) -> TrainablePCA:
    moments = Moments()
    moments.update(pixels_of(random_cubes(8)))
    node.finalize(moments)
    return node


def test_inverse_scale_undoes_the_scale_and_is_0_where_it_is_0() -> None:
    projection = Projection(torch.eye(3, 4), torch.zeros(4), torch.tensor([4.0, 1.0, 0.0]))
    assert projection.inverse_scale.tolist() == [0.25, 1.0, 0.0]


@pytest.mark.parametrize("arguments", [{}, {"whiten": True}, {"orthogonal": "hard"}], ids=str)
def test_a_pca_projects_before_fitting_after_it_and_in_training(arguments: dict[str, Any]) -> None:
    """Also where isinstance looks members up without `__getattr__`, as from Python 3.12 on: it sees no buffer."""
    node = TrainablePCA(3, trainable=True, **arguments)
    assert isinstance(node, Projects)
    fitted(node)
    assert isinstance(node, Projects)
    node.prepare_for_train()
    assert isinstance(node, Projects)


@pytest.mark.parametrize("whiten", [False, True])
def test_a_projection_is_what_the_node_maps_by(whiten: bool) -> None:
    """scale · W (x − mean)."""
    node, cube = fitted(TrainablePCA(3, whiten=whiten)), random_cubes(seed=1)
    components, mean, scale = node.projection()
    expected = (pixels_of(cube) - mean) @ components.T * scale
    torch.testing.assert_close(pixels_of(node(cube)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("node", "able"),
    [
        (MinMaxNormalizer(), set()),
        (TrainablePCA(3), {Projects}),
        (RXGlobal(), {Follows}),
        (PCADecoder("pca"), {Decodes}),
        (LinearDecoder("pca"), {Decodes}),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Node) else "",
)
def test_a_node_can_what_it_has_methods_for(node: Node, able: set[type]) -> None:
    assert {ability for ability in (Projects, Decodes, Follows) if isinstance(node, ability)} == able


def test_a_follower_is_a_node_set_to_follow() -> None:
    following = RXGlobal(stats="follow")
    assert follower(following) is following
    assert follower(RXGlobal()) is None
    assert follower(MinMaxNormalizer()) is None


def test_a_decoder_is_given_its_encoder() -> None:
    decoder, pca = PCADecoder("pca"), fitted(TrainablePCA(3))
    assert decoder.decodes() == "pca"
    assert not decoder.fitted
    decoder.bind(pca)
    assert decoder.fitted
    assert not list(decoder.children()), "a reference is no submodule"
