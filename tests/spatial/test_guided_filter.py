import pytest
import torch

from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.normalization.normalization import MinMaxNormalizer
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.spatial.guided_filter import GuidedFilter
from tests.functional.test_filters import guided_by_loops


def test_the_first_channel_is_filtered_and_the_others_guide() -> None:
    cube = torch.rand(2, 4, 8, 7, dtype=torch.float64)
    valid = torch.rand(2, 8, 7) < 0.9
    output = GuidedFilter(radius=2, eps=0.1)(cube, valid)
    expected = guided_by_loops(cube[:, :1], cube[:, 1:], valid, 2, 0.1)
    inside = valid[:, None]
    torch.testing.assert_close(output[inside], expected[inside])


def test_its_windows_see_twice_the_radius() -> None:
    node = GuidedFilter(radius=2)
    assert node.halo == 4
    cube = torch.rand(1, 3, 15, 15, dtype=torch.float64)
    other = cube.clone()
    other[..., 7, 7] += 1
    changed = (node(cube) != node(other))[0, 0].nonzero()
    assert changed.amin(0).tolist() == [3, 3]
    assert changed.amax(0).tolist() == [11, 11]


def test_parents_in_their_order() -> None:
    graph = Graph()
    first = graph.add_node(MinMaxNormalizer(use_running_stats=False), name="first")
    second = graph.add_node(MinMaxNormalizer(use_running_stats=False), parent=first, name="second")
    graph.add_node(GuidedFilter(), parent=[first, second], name="filter")
    cube = torch.rand(1, 1, 6, 5)
    normalized = graph.nodes["first"](cube)
    expected = GuidedFilter()(torch.cat([normalized, normalized], 1))
    torch.testing.assert_close(graph(cube).output, expected)


def test_the_halo_is_that_of_two_boxes() -> None:
    graph = Graph()
    graph.add_node(TrainablePCA(1), name="image")
    graph.add_node(TrainablePCA(1), parent="image", name="guide")
    graph.add_node(GuidedFilter(radius=3), parent=["image", "guide"])
    assert graph.halo == 6


def test_without_a_guide_the_message_says_how_to_give_one() -> None:
    graph = Graph()
    graph.add_node(GuidedFilter(), name="smooth")
    with pytest.raises(GraphError, match=r"`smooth`: expected an image and its guide.* got 1"):
        graph(torch.rand(1, 1, 5, 5))


@pytest.mark.parametrize("arguments", [{"radius": 0}, {"radius": True}, {"eps": 0.0}])
def test_impossible_arguments(arguments: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="GuidedFilter: "):
        GuidedFilter(**arguments)  # type: ignore[arg-type]
