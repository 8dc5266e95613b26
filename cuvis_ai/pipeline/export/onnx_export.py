"""What `graph.export_onnx` does with a graph's members."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from cuvis_ai.anomaly.tail import TailCalibrator
from cuvis_ai.errors import ConfigError, GraphError
from cuvis_ai.execution.needed_channels import channels_read
from cuvis_ai.node.base import require_fitted, structure_of
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.export.model_check import check
from cuvis_ai.pipeline.export.model_facts import facts
from cuvis_ai.pipeline.export.model_input import CUBE_INPUT, VALID_INPUT, InputType, ModelInput
from cuvis_ai.pipeline.export.model_writer import CHANNEL_AXIS, Layout, ModelWriter, Value
from cuvis_ai.pipeline.export.onnx_graph import OnnxGraph, Port
from cuvis_ai.pipeline.graph_members import Members
from cuvis_ai.pipeline.prediction.model_checksum import with_checksum
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.stats import Structure
from cuvis_ai.training.engine.undisturbed import undisturbed
from cuvis_ai.types import CUBE
from cuvis_ai.whole_file import write_whole

DETECTED = "_detected"
"""Ends the name of the mask of a node's scores."""


def export(
    members: Members,
    name: str,
    bands: TrainedBands,
    path: StrPath,
    *,
    input: str,
    layout: str,
    outputs: Sequence[str] | None,
    no_data: float | None,
) -> None:
    """Write a graph as an ONNX model, checked to compute what the graph does.

    Args:
        members: the graph's.
        name: the graph's.
        bands: those of training.
        path: the file.
        input: the number type of the cube.
        layout: the order of axes.
        outputs: nodes, and masks as `<node>_detected`; None: the end nodes, with masks where a threshold is
            stored.
        no_data: what stands for no data.

    Raises:
        ConfigError: an argument is impossible.
        GraphError: a node cannot be exported, or the model computes otherwise; nothing was written.
        NotFittedError: a node is not fitted.
        MissingExtraError: a package of the extra `export` is not installed.
    """
    nodes, masks = _chosen(members, outputs)
    upstream = members.topology.ancestors(tuple(nodes))
    path_nodes = [one for one in members.topology.order() if one in upstream]
    for one in path_nodes:
        require_fitted(members.node(one))
    opaque = any(structure_of(members.node(one)) is Structure.OPAQUE for one in path_nodes)
    taken = ModelInput(
        dtype=cast(InputType, input),
        layout=cast(Layout, layout),
        channels=_channels(members, bands),
        no_data=no_data,
        flags=opaque,
    )
    with undisturbed(members.nodes):
        model = _written(members, name, bands, taken, nodes, masks)
        content: bytes = model.SerializeToString()
        check(content, members.execution, taken, nodes)
    write_whole(Path(path), with_checksum(content))


def _chosen(members: Members, outputs: Sequence[str] | None) -> tuple[list[str], dict[str, float]]:
    """Return the nodes whose output is given, and the thresholds of masks by node."""
    stored = {name: members.stored_threshold(name) for name in members.nodes}
    thresholds = {name: limit for name, limit in stored.items() if limit is not None}
    ends = members.topology.ends()
    if not ends:
        raise GraphError("export_onnx: expected nodes, got none. Add one first.")
    if outputs is None:
        asked = [*ends, *(name + DETECTED for name in ends if name in thresholds)]
    else:
        asked = list(dict.fromkeys(outputs))
    masks = {name + DETECTED: limit for name, limit in thresholds.items()}
    unknown = [name for name in asked if name not in members.nodes and name not in masks]
    if unknown or not asked:
        known = ", ".join([*members.nodes, *masks])
        raise ConfigError(
            f"export_onnx: outputs: expected some of {known}, got {unknown or asked}. A mask needs a "
            "`Threshold` on its node that has a value."
        )
    nodes = [name for name in asked if name in members.nodes]
    masked = [name.removesuffix(DETECTED) for name in asked if name not in members.nodes]
    if reserved := [name for name in nodes if name in (CUBE_INPUT, VALID_INPUT)]:
        raise GraphError(
            f"export_onnx: expected outputs with other names than the inputs, got {reserved}. "
            "Rename the node."
        )
    # A mask is checked by the scores that it is made of.
    return list(dict.fromkeys([*nodes, *masked])), {name: thresholds[name] for name in masked}


def _channels(members: Members, bands: TrainedBands) -> int:
    known = channels_read(members.execution)
    if known is None and bands.wavelengths is not None:
        known = len(bands.wavelengths)
    if known is None and bands.indices is not None:
        known = len(bands.indices)
    if known is None:
        raise GraphError(
            "export_onnx: expected to know how many bands enter, from a fitted node that reads the cube or "
            "from the training data, got neither. Train the graph on data with wavelengths, or begin with a "
            "fitted node such as StandardNormalizer."
        )
    return known


def _written(
    members: Members,
    name: str,
    bands: TrainedBands,
    taken: ModelInput,
    nodes: Sequence[str],
    masks: dict[str, float],
) -> Any:
    graph = OnnxGraph()
    cube = taken.cube(graph)
    measured = taken.measured(graph, cube)
    axis = CHANNEL_AXIS[taken.layout]
    flags = None if measured is None else graph.op("Unsqueeze", measured, graph.axes(axis))
    if taken.flags:
        assert flags is not None
        filler = members.execution.filler(taken.channels).detach().cpu().float().numpy()
        shape = (-1, 1, 1) if taken.layout == "nchw" else (-1,)
        cube = graph.op("Where", flags, cube, graph.constant(filler.reshape(shape)))
    writer = ModelWriter(members.execution, graph, measured if taken.flags else None)
    writer.values[CUBE] = Value(cube, taken.layout, taken.channels)
    ports = []
    described = {}
    for node, value in {node: writer.value((node,), taken.layout) for node in nodes}.items():
        ports.append(Port(node, np.dtype(np.float32), taken.shaped(value.channels)))
        graph.name(_masked(graph, taken, value, flags), node)
        if node in masks:
            limit = graph.constant(masks[node], np.float32)
            ports.append(Port(node + DETECTED, np.dtype(bool), taken.shaped(value.channels)))
            graph.name(graph.op("Greater", node, limit), node + DETECTED)
        described[node] = {
            "threshold": members.stored_threshold(node),
            "halo": members.execution.halo((node,)),
            "calibrated_tail": isinstance(members.node(node), TailCalibrator),
        }
    return graph.model(str(name), taken.ports, ports, facts(members, name, bands, taken, described))


def _masked(graph: OnnxGraph, taken: ModelInput, value: Value, flags: str | None) -> str:
    """Write NaN where nothing was measured."""
    nan = graph.constant(np.nan, np.float32)
    result = value.name
    if not taken.flags and taken.dtype == "float32":
        if value.channels == 1:
            result = graph.op("Where", graph.op("IsInf", result), nan, result)
        else:
            # One band that is not finite makes the pixel invalid, also behind maps of single channels.
            total = graph.op("ReduceL1", result, graph.axes(CHANNEL_AXIS[taken.layout]), keepdims=1)
            finite = graph.op("Less", total, graph.constant(np.inf, np.float32))
            result = graph.op("Where", finite, result, nan)
    return result if flags is None else graph.op("Where", flags, result, nan)
