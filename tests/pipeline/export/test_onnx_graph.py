import numpy as np
import pytest

from cuvis_ai.pipeline.export.onnx_graph import OnnxGraph, Port
from tests.pipeline.export.models import onnx


def doubled() -> OnnxGraph:
    graph = OnnxGraph()
    with graph.scoped("node"):
        graph.name(graph.op("Mul", "cube", graph.constant(2.0, np.float32)), "mapped")
    return graph


CUBE, MAPPED = (Port(name, np.dtype("f4"), ("b", 3, "h", "w")) for name in ("cube", "mapped"))


def test_equal_constants_are_held_once_and_unread_ones_not_written() -> None:
    graph = doubled()
    first = graph.constant(2.0, np.float32)
    assert graph.constant(np.float32(2)) == first
    assert len({first, graph.constant(2.0, np.float64), graph.constant([2.0], np.float32)}) == 3
    assert len(graph.model("g", [CUBE], [MAPPED], {}).graph.initializer) == 1


def test_graphs_that_do_the_same_have_equal_content() -> None:
    assert doubled().content == doubled().content
    other = doubled()
    other.op("Neg", "mapped")
    assert other.content != doubled().content


def test_an_output_that_something_reads_gets_a_copy_under_its_name() -> None:
    graph = OnnxGraph()
    first = graph.op("Neg", "cube")
    graph.op("Abs", first)
    graph.name(first, "mapped")
    assert [step.kind for step in graph.steps] == ["Neg", "Abs", "Identity"]


def test_models_are_checked() -> None:
    graph = OnnxGraph()
    graph.name(graph.op("NoSuchOperator", "cube"), "mapped")
    with pytest.raises(onnx.checker.ValidationError):
        graph.model("g", [CUBE], [MAPPED], {})
    metadata = doubled().model("g", [CUBE], [MAPPED], {"key": "text"}).metadata_props
    assert [(one.key, one.value) for one in metadata] == [("key", "text")]
