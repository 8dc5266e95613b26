"""Only what is read is computed, and composing chains changes no value."""

from pathlib import Path
from typing import Any

import pytest
import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.errors import GraphError
from cuvis_ai.node.base import Node
from cuvis_ai.node.pca import TrainablePCA
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.target.ace import ACE
from cuvis_ai.types import CUBE
from tests.cubes import Batches, as_batches, random_cubes
from tests.execution.branched import STATISTICS_ONLY, Smooth, branched
from tests.graphs import masks


class Wrong(Node):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def forward(self, cube: torch.Tensor) -> torch.Tensor:
        if self.what == "shape":
            return cube.flatten(2)
        raise IndexError("dimension out of range")


def test_every_output_is_what_calling_the_nodes_in_turn_gives() -> None:
    graph = branched()
    cube = random_cubes(seed=1)
    norm, pca, smooth, smooth_pca, rx, joint = (
        graph.nodes[n] for n in ("norm", "pca", "smooth", "smooth_pca", "rx", "joint")
    )
    expected: dict[str, Any] = {"norm": norm(cube)}
    expected["pca"] = pca(expected["norm"])
    expected["smooth"] = smooth(expected["norm"])
    expected["smooth_pca"] = smooth_pca(expected["smooth"])
    expected["rx"] = rx(torch.cat([expected["pca"], expected["norm"], expected["smooth_pca"]], 1))
    expected["joint"] = joint(torch.cat([expected["pca"], expected["norm"]], 1))
    for asked in (list(expected), ["joint"], ["rx"], ["smooth_pca", "pca"]):
        got = graph.run(cube, outputs=asked)
        assert list(got) == asked
        for name in asked:
            torch.testing.assert_close(got[name], expected[name], rtol=1e-3, atol=1e-4)


def test_what_is_not_read_is_not_computed() -> None:
    graph = branched()
    smooth = graph.nodes["smooth"]
    assert isinstance(smooth, Smooth)
    smooth.calls = 0
    graph.run(random_cubes(), outputs=["joint", "pca"])
    assert smooth.calls == 0
    graph.run(random_cubes(), outputs=["rx", "smooth_pca"])
    assert smooth.calls == 1


def test_several_ends_need_run_and_say_so() -> None:
    with pytest.raises(
        GraphError, match=r"expected one end node, got 2.*outputs=\['joint', 'rx'\]|'rx', 'joint'"
    ):
        branched()(random_cubes())


@pytest.mark.parametrize(
    ("what", "message"), [("shape", r"expected an output \(b, k, h, w\)"), ("error", "failed on its input")]
)
def test_errors_of_a_users_node_name_it(what: str, message: str) -> None:
    graph = Graph()
    graph.add_node(Wrong(what), name="mine")
    with pytest.raises(GraphError, match=f"Wrong `mine`: {message}"):
        graph(random_cubes())


def test_foreign_strides_give_equal_results() -> None:
    graph = branched()
    cube = random_cubes(seed=1)
    assert not cube.is_contiguous()
    assert torch.equal(graph.run(cube.contiguous(), ["rx"])["rx"], graph.run(cube, ["rx"])["rx"])


def test_non_finite_pixels_come_out_as_nan_after_a_users_node_too() -> None:
    graph = branched()
    cube = random_cubes(seed=1)
    cube[1, 3, 2, 2] = float("nan")
    got = graph.run(cube, outputs=["smooth", "pca"])
    assert got["pca"][1, :, 2, 2].isnan().all()
    assert got["pca"].isnan().sum() == 3
    assert got["smooth"][1, :, 2, 2].isnan().all()
    assert got["smooth"].isnan().sum() == 7


def test_gradients_stay_finite_where_a_pixel_is_not() -> None:
    graph = branched()
    graph.nodes["pca"].trainable = True  # type: ignore[assignment]
    graph.nodes["pca"].prepare_for_train()  # type: ignore[operator]
    cube = random_cubes(seed=1)
    cube[1, 3, 2, 2] = float("nan")
    evaluation = graph._members.execution.evaluate(cube, [("pca",)])
    evaluation.values["pca",].square().sum().backward()
    gradient = graph.nodes["pca"].components.grad
    assert gradient is not None
    assert bool(gradient.isfinite().all())


def test_several_nodes_read_the_cube_in_one_pass_each_as_if_alone(tmp_path: Path) -> None:
    cubes, mask = random_cubes(6), masks(6)
    cubes[1, 2, 3, 4] = float("nan")
    data = Batches(as_batches(cubes, mask=mask))
    graph = Graph()
    graph.add_node(TrainablePCA(2), name="pca")
    graph.add_node(ACE(), parent=CUBE, name="ace")
    graph.add_node(Smooth(), parent=CUBE, name="smooth")
    joined = graph.add_node(RXGlobal(), parent=["ace", "pca"], name="joined")
    graph.train(data, STATISTICS_ONLY)
    assert data.sets["train"].reads == 2 * 3  # PCA and ACE, then RX on what leaves them
    alone = Graph()
    alone.add_node(ACE())
    alone.train(Batches(as_batches(cubes, mask=mask)), STATISTICS_ONLY)
    outputs = graph.run(cubes, ["ace", "pca", joined])
    expected = alone(cubes).output
    torch.testing.assert_close(outputs["ace"], expected, equal_nan=True)
    assert bool(outputs["joined"][1, 0, 3, 4].isnan())
    assert int(outputs["joined"].isnan().sum()) == 1
    assert "_cube --> ace" in graph.mermaid()
    graph.remove_node("smooth")
    graph.save_to_file(tmp_path / "two.zip")
    loaded = Graph.load_from_file(tmp_path / "two.zip")
    assert repr(loaded) == repr(graph)
    torch.testing.assert_close(loaded(cubes).output, graph(cubes).output, rtol=0, atol=0, equal_nan=True)
