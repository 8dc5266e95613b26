"""Which points leaves read, and what a batch shows them."""

import torch

from cuvis_ai.leaf.reading import Evaluation, Read, points_of, view_of
from cuvis_ai.node.decoder import LinearDecoder
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.types import CUBE


def decoded() -> Graph:
    graph = Graph()
    norm = graph.add_node(MinMaxNormalizer(), name="norm")
    pca = graph.add_node(TrainablePCA(3), parent=norm, name="pca")
    graph.add_node(LinearDecoder(pca), parent=pca, name="decoder")
    return graph


def test_reads_are_points_of_the_parent() -> None:
    graph = decoded()
    paths, nodes = graph._members.execution, graph._members.in_order()
    reads = [Read.INPUT, Read.OUTPUT, Read.ENCODER_INPUT, Read.MASK]
    assert points_of(reads, nodes["decoder"], paths) == {
        Read.INPUT: ("pca",), Read.OUTPUT: ("decoder",), Read.ENCODER_INPUT: ("norm",),
    }  # fmt: skip
    assert points_of(reads[:2], nodes["norm"], paths) == {Read.INPUT: CUBE, Read.OUTPUT: ("norm",)}


def test_a_view_shows_what_was_asked_for_and_no_more() -> None:
    members = decoded()._members
    node, paths = members.node("norm"), members.execution
    cube, mask = torch.ones(1, 2, 3, 3), torch.zeros(1, 3, 3, dtype=torch.bool)
    evaluation = Evaluation({CUBE: cube, ("norm",): 2 * cube}, valid=~mask)
    view = view_of({Read.OUTPUT, Read.MASK}, node, paths, evaluation, {"mask": mask})
    assert view.values.keys() == {Read.OUTPUT, Read.MASK}
    assert torch.equal(view[Read.OUTPUT], 2 * cube)
    assert view[Read.MASK] is mask
    assert view.valid is evaluation.valid
    empty = view_of({Read.MASK}, node, paths, None, {})
    assert (dict(empty.values), empty.valid) == ({}, None)


def test_invalid_pixels_are_nan_when_values_leave_the_graph() -> None:
    valid = torch.tensor([[[True, False]]])
    masked = Evaluation({CUBE: torch.ones(1, 2, 1, 2)}, valid).masked(CUBE)
    assert masked.isnan().tolist() == [[[[False, True]], [[False, True]]]]
