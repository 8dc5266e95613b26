"""Whether a model computes what its graph does: the stored probe, and a small scene, through ONNX Runtime."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cuvis_ai.errors import GraphError, import_extra
from cuvis_ai.execution.execution import Execution
from cuvis_ai.pipeline.export.model_input import ModelInput
from cuvis_ai.pipeline.saving.probe import ramp

TOLERANCE = 1e-4
"""Of the greatest value of an output."""

SCENE = (2, 9, 11)
"""Cubes, rows and columns of the small scene."""


def check(model: bytes, execution: Execution, taken: ModelInput, names: Sequence[str]) -> None:
    """Raise a `GraphError` unless a model's outputs are those of the nodes they are named after.

    Args:
        model: its bytes.
        execution: evaluates the graph.
        taken: what enters.
        names: the nodes.
    """
    runtime = import_extra("onnxruntime", "export", "exporting a graph")
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    for cube, valid in _inputs(execution, taken):
        found = session.run(list(names), dict(taken.feed(cube, valid)))
        wanted = _wanted(execution, taken, names, cube, valid)
        for name, got, want in zip(names, found, wanted, strict=True):
            got = got if taken.layout == "nchw" else np.moveaxis(got, 3, 1)
            _compare(name, got, want)


def _compare(name: str, got: NDArray[Any], want: NDArray[Any]) -> None:
    largest = float(np.abs(want[np.isfinite(want)]).max(initial=0.0))
    if got.shape == want.shape and np.array_equal(np.isfinite(got), np.isfinite(want)):
        off = float(np.nanmax(np.abs(got - want), initial=0.0, where=np.isfinite(want)))
        if off <= TOLERANCE * largest:
            return
        reason = f"values are off by {off:.2g} of {largest:.2g}"
    else:
        reason = "it has another shape, or other pixels without data"
    raise GraphError(
        f"export_onnx: `{name}`: expected the graph's output within {TOLERANCE:g} of its greatest value, got "
        f"another: {reason}. No file was written. Likely causes: a node that depends on chance, or an "
        "operator that torch's exporter writes otherwise."
    )


def _inputs(execution: Execution, taken: ModelInput) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Return cubes (b, c, h, w) of the model's number type and the flags of their pixels."""
    center = execution.filler(taken.channels).detach().cpu().numpy().astype(np.float64)
    b, h, w = SCENE
    generator = np.random.default_rng(0)
    spread = 0.1 * np.abs(center) + (10.0 if taken.dtype != "float32" else 0.1)
    scene = center[:, None, None] + generator.standard_normal((b, len(center), h, w)) * spread[:, None, None]
    flags = np.ones(SCENE, bool)
    if taken.flags:
        flags[0, 4, 5] = flags[1, :2, :3] = False
    if taken.dtype != "float32":
        limits = np.iinfo(taken.dtype)
        scene = scene.round().clip(limits.min, limits.max)
    else:
        scene[1, -1, 6, 7] = np.nan
    if taken.no_data is not None:
        scene[0, :, 2, 3] = taken.no_data
    cubes = [(scene, flags)]
    if taken.dtype == "float32":
        spectrum = ramp(taken.channels).numpy().reshape(1, -1, 1, 1)
        cubes.append((spectrum, np.ones((1, 1, 1), bool)))
    return [(cube.astype(np.float32), valid) for cube, valid in cubes]


def _wanted(
    execution: Execution,
    taken: ModelInput,
    names: Sequence[str],
    cube: NDArray[Any],
    valid: NDArray[np.bool_],
) -> list[NDArray[Any]]:
    flags = torch.from_numpy(valid & ~taken.found_invalid(cube)).to(execution.device)
    entering = torch.from_numpy(cube).to(execution.device, execution.dtype)
    points = [(name,) for name in names]
    with torch.no_grad():
        evaluation = execution.evaluate(entering, points, flags)
    return [evaluation.masked(point).float().cpu().numpy() for point in points]
