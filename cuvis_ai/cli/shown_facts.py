"""What `cuvis-ai show` prints of graphs and of scenes: names of facts, and the facts in words."""

from collections.abc import Iterator

import numpy as np

from cuvis_ai.data.band_selection import listed
from cuvis_ai.data.cube import Cube
from cuvis_ai.node.base import FittedNode
from cuvis_ai.node.base.arguments import hyperparameters
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.training.threshold import Threshold, stored_threshold

Facts = Iterator[tuple[str, str]]


def graph_facts(graph: Graph) -> Facts:
    """Yield a graph's bands, halo, thresholds, arguments, and what its nodes say of their fit."""
    bands = graph.bands
    if bands.wavelengths is not None:
        yield "bands", f"{len(bands.wavelengths)}, centred at {listed(bands.wavelengths)} nm"
    else:
        yield "bands", "wavelengths unknown"
    if bands.indices is not None:
        yield "bands of the files", listed(bands.indices)
    halo = graph.halo
    yield "context", "whole scenes" if halo is None else f"{halo} pixels around each"
    for name, node in graph.nodes.items():
        attached = [graph.leaves[leaf] for leaf, of in graph.topology.leaves.items() if of == name]
        stored = stored_threshold(node, attached) if node.fitted else None
        rules = [leaf for leaf in attached if isinstance(leaf, Threshold)]
        if stored is not None:
            parameter = "" if not rules or rules[0].parameter is None else f" {rules[0].parameter:g}"
            rule = f" (rule {rules[0].rule}{parameter})" if rules else ""
            yield f"threshold of {name}", f"score > {stored:.6g}{rule}"
        elif rules:
            yield f"threshold of {name}", f"none yet (rule {rules[0].rule})"
    for name, module in (*graph.nodes.items(), *graph.leaves.items()):
        arguments = ", ".join(f"{key}={value!r}" for key, value in hyperparameters(module).items())
        if arguments:
            yield f"arguments of {name}", arguments
    for name, node in graph.nodes.items():
        if isinstance(node, FittedNode) and node.fitted:
            for line in node.fit_report():
                yield f"fit of {name}", line


def cube_facts(cube: Cube) -> Facts:
    """Yield a scene's size, type, wavelengths, bad bands, no-data values, scale, georeference and doubts."""
    h, w, c = cube.shape
    yield "size", f"{h} rows, {w} columns, {c} bands"
    n_bytes = cube.dtype.itemsize * h * w * c
    yield "type", f"{cube.dtype.name}, {n_bytes / 1e6:.4g} MB; as float32 {4 * h * w * c / 1e6:.4g} MB"
    yield "wavelengths", "unknown" if cube.wavelengths is None else f"{listed(cube.wavelengths)} nm"
    if cube.bad_bands is not None:
        bad = np.flatnonzero(cube.bad_bands)
        yield "bad bands", f"{len(bad)}: {listed(bad)}" if len(bad) else "none"
    else:
        yield "bad bands", "not stated"
    no_data = cube.validity.no_data
    yield "no data", ", ".join(f"{value:g}" for value in no_data) if no_data else "not stated"
    limits = (cube.validity.least, cube.validity.most)
    if limits != (None, None):
        yield "measurements", " to ".join("any" if limit is None else f"{limit:g}" for limit in limits)
    gain, offset, unit = cube.scaling.gain, cube.scaling.offset, cube.scaling.unit
    if set(gain) != {1.0} or set(offset) != {0.0}:
        yield "scale", f"{listed(gain)} · stored + {listed(offset)}"
    if unit is not None:
        yield "unit", unit
    yield from _place(cube)
    for option, doubt in cube.doubts.items():
        yield f"doubtful ({option})", doubt


def _place(cube: Cube) -> Facts:
    grid = cube.georeference
    if grid is None:
        yield "georeference", "none"
        return
    h, w, _ = cube.shape
    yield "coordinate system", grid.crs or "unknown"
    yield "pixel", " x ".join(f"{side:.10g}" for side in grid.pixel_size())
    for corner, row, column in (("first", 0, 0), ("last", h - 1, w - 1)):
        x, y = grid.position(row, column)
        yield f"{corner} pixel's centre", f"{x:.10g}, {y:.10g}"
