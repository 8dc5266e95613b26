"""Evaluation by demand: computes what is read, by one product for each chain of affine nodes.

Pixels with a non-finite band are found in the results of products with the cube, where looking costs little,
not in the cube.
"""

import math
from collections.abc import Collection, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.errors import GraphError
from cuvis_ai.execution.composed_maps import ComposedMaps
from cuvis_ai.execution.strips import PIXELS, joined, row_strips
from cuvis_ai.leaf.reading import Evaluation, intersection
from cuvis_ai.node.base import AffineNode, Node, has_pointwise, require_fitted, sees_valid, structure_of
from cuvis_ai.stats import Structure
from cuvis_ai.types import CUBE, CubeTensor, PixelMask, Point


class Execution(ComposedMaps):
    """Evaluates the nodes of one topology."""

    def evaluate(
        self,
        cube: CubeTensor,
        points: Iterable[Point],
        valid: PixelMask | None = None,
        core: PixelMask | None = None,
    ) -> Evaluation:
        """Return the values at `points`.

        Args:
            cube: the batch that enters the graph.
            points: where something is read.
            valid: False at pixels without data.
            core: False at pixels that are context of a tile; handed through.
        """
        wanted = tuple(dict.fromkeys(points))
        if self._is_cut(cube, wanted):
            return self._in_strips(cube, wanted, valid, core)
        values, valid = self._values(cube, wanted, valid)
        return Evaluation(values, valid, core)

    def _values(
        self, cube: CubeTensor, wanted: Sequence[Point], valid: PixelMask | None
    ) -> tuple[dict[Point, CubeTensor], PixelMask | None]:
        """Return the values at points, and which pixels are valid."""
        if not cube.is_cpu or self._may_hide_a_nan(wanted):
            # On a device, looking at the result would make the host wait.
            valid = intersection(valid, torch.isfinite(cube).all(1))
        elif valid is not None and bool(valid.all()):
            valid = None
        if valid is not None:
            cube = self._filled(cube, valid)
        batch = _Batch(self, cube, valid, wanted)
        if cube.is_cpu and not batch.finite():
            finite = torch.isfinite(cube).all(1)
            valid = finite if valid is None else valid & finite
            batch = _Batch(self, self._filled(cube, valid), valid, wanted)
        return {point: batch.values[point] for point in wanted}, valid

    def _is_cut(self, cube: CubeTensor, wanted: Collection[Point]) -> bool:
        """Whether a cube with windows is so large that all its values would take much memory at once."""
        b, _, h, w = cube.shape
        if b * h * w <= PIXELS or CUBE in wanted:
            return False
        halos = [self.halo(point) for point in wanted]
        return None not in halos and any(halos)

    def _in_strips(
        self, cube: CubeTensor, wanted: Sequence[Point], valid: PixelMask | None, core: PixelMask | None
    ) -> Evaluation:
        """Return the values at points, made strip by strip of each cube."""
        reach = max(self.halo(point) or 0 for point in wanted)
        found: list[list[Evaluation]] = []
        for i in range(len(cube)):
            found.append([])
            for seen, own in row_strips(cube.shape[2], cube.shape[3], reach, PIXELS):
                flags = None if valid is None else valid[i : i + 1, seen]
                strip = Evaluation(*self._values(cube[i : i + 1, :, seen], wanted, flags))
                found[-1].append(strip.rows(own))
        return joined(found, core)

    def _may_hide_a_nan(self, wanted: Collection[Point]) -> bool:
        """Whether a node that reads the cube has no affine form, so that a NaN need not reach its output."""
        opaque = any(structure_of(self.nodes[name]) is Structure.OPAQUE for name in self.topology.roots())
        return opaque and any(point != CUBE for point in wanted)

    def filler(self, channels: int) -> Float[Tensor, " c"]:
        """Return the spectrum that stands for pixels without data: the first node's center, or 0."""
        root = self.nodes[self.topology.root]
        if isinstance(root, AffineNode) and root.structure is not Structure.OPAQUE and root.fitted:
            center = root.affine().center.detach()
            if len(center) == channels:
                return center
        return torch.zeros(channels, dtype=self.dtype, device=self.device)

    def _filled(self, cube: CubeTensor, valid: PixelMask) -> CubeTensor:
        spectrum = self.filler(cube.shape[1]).to(cube)
        return torch.where(valid[:, None], cube, spectrum[:, None, None])


class _Batch:
    """The values of one batch, each computed once."""

    def __init__(
        self, execution: Execution, cube: CubeTensor, valid: PixelMask | None, wanted: Collection[Point]
    ) -> None:
        self.execution = execution
        self.valid = valid
        self.values: dict[Point, CubeTensor] = {CUBE: cube}
        self.sums: list[Tensor] = []
        for point in wanted:
            self.value(point)

    def finite(self) -> bool:
        """Whether all that was computed straight from the cube is finite: then so is each sum."""
        return all(math.isfinite(total) for total in self.sums)

    def value(self, point: Point) -> CubeTensor:
        if point not in self.values:
            parts = [self.value((name,)) for name in point] if len(point) > 1 else []
            self.values[point] = torch.cat(parts, 1) if parts else self._output(point[0])
        return self.values[point]

    def _output(self, name: str) -> CubeTensor:
        node = self.execution.nodes[name]
        point = self.execution.input_of(name)
        if not isinstance(node, AffineNode) or node.structure is Structure.OPAQUE:
            return called(node, self.value(point), self.valid)
        base = self.execution.source(point)
        entering = self.value(base)
        pointwise = node.pointwise if has_pointwise(node) else None
        result = self.execution.map_of(name, base, entering).on_cube(entering, pointwise)
        if base == CUBE and result.is_cpu:
            self.sums.append(result.detach().sum())
        return result


def called(node: Node, cube: CubeTensor, valid: PixelMask | None = None) -> CubeTensor:
    """Return node(cube), or node(cube, valid) and 0 at invalid pixels; errors name the node and its input."""
    require_fitted(node)
    try:
        result = _with_valid(node, cube, valid) if sees_valid(node) else node(cube)
    except (RuntimeError, TypeError, IndexError) as err:
        raise GraphError(f"{node.label}: failed on its input {tuple(cube.shape)}: {err}") from err
    expected = (cube.shape[0], *cube.shape[2:])
    if result.ndim != 4 or (result.shape[0], *result.shape[2:]) != expected:
        raise GraphError(
            f"{node.label}: expected an output (b, k, h, w) with b, h, w = {expected}, "
            f"got {tuple(result.shape)}. Every node maps a cube to a cube."
        )
    return result


def _with_valid(node: Node, cube: CubeTensor, valid: PixelMask | None) -> CubeTensor:
    if valid is not None:
        result: Tensor = node(cube, valid)
        return torch.where(valid[:, None], result, 0.0)
    everywhere = torch.ones(cube.shape[0], *cube.shape[2:], dtype=torch.bool, device=cube.device)
    mapped: Tensor = node(cube, everywhere)
    return mapped
