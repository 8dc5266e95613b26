"""Composition of affine maps along the paths of a graph.

The value at a point is computed from the furthest point upstream from which affine maps lead to it, all of
them composed first. Where that is depends on the graph alone, never on what else is read: so equal spectra
get equal scores, whatever is attached.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from cuvis_ai.execution.topology import Topology
from cuvis_ai.functional.affine import Affine, identity_like, stack
from cuvis_ai.node.base import (
    AffineNode,
    Node,
    check_channels,
    follower,
    has_pointwise,
    require_fitted,
)
from cuvis_ai.stats import Structure
from cuvis_ai.types import CUBE, SOURCE, CubeTensor, Point


class ComposedMaps:
    """The nodes of one topology, and the maps from one of its points to another.

    Args:
        topology: names and order.
        nodes: the nodes by name.
        fixed: whether the weights stay as they are, so that maps are composed once, not for each batch.
    """

    def __init__(self, topology: Topology, nodes: Mapping[str, Node], *, fixed: bool = False) -> None:
        self.topology = topology
        self.nodes = nodes
        self._maps: dict[Any, Affine] | None = {} if fixed else None

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the nodes' state, which cubes must have."""
        return next((tensor.dtype for tensor in self._states()), torch.float32)

    @property
    def device(self) -> torch.device:
        """Where the nodes' state is, and cubes must be."""
        return next((tensor.device for tensor in self._states()), torch.device("cpu"))

    def _states(self) -> Iterator[Tensor]:
        """Yield the nodes' floating-point buffers and parameters."""
        for node in self.nodes.values():
            yield from (t for t in chain(node.buffers(), node.parameters()) if t.is_floating_point())

    def input_of(self, node: str) -> Point:
        """Return the point that a node reads."""
        return self.topology.input_of(node)

    def base(self, point: Point, least: Structure = Structure.DENSE) -> Point:
        """Return the furthest point upstream from which `point` is reached by maps at least this special.

        Args:
            point: where to start.
            least: DENSE to pass all affine maps, CHANNELWISE to pass channelwise ones alone.
        """
        if point == CUBE:
            return point
        if len(point) > 1:
            bases = {self.base((name,), least) for name in point}
            return bases.pop() if len(bases) == 1 and least <= Structure.DENSE else point
        node = self.nodes[point[0]]
        if not isinstance(node, AffineNode) or node.structure < least or has_pointwise(node):
            return point
        return self.base(self.input_of(point[0]), least)

    def source(self, point: Point) -> Point:
        """Return the point that values are computed from: `base`, or a projection on the way that is shared.

        It depends on nodes alone, so that values do not depend on what is attached to them.
        """
        if len(point) == 1 and self._is_shared_projection(point[0]):
            return point
        base = self.base(point)
        if base == point or len(point) > 1:
            return base
        return self.source(self.input_of(point[0]))

    def _is_shared_projection(self, name: str) -> bool:
        """Whether several nodes read a node's output, which is narrower than its input: made once for all."""
        if name == SOURCE or len(self.topology.children(name)) < 2:
            return False
        node = self.nodes[name]
        if not isinstance(node, AffineNode) or not node.fitted or has_pointwise(node):
            return False
        if node.structure is not Structure.DENSE or follower(node) is not None:
            return False
        affine = node.affine()
        return affine.out_channels < affine.in_channels

    def channels(self, point: Point) -> int | None:
        """Return the number of channels at a point; None if it depends on cubes that are not seen yet."""
        # In order, each node once: paths multiply where nodes read several others.
        known: dict[str, int | None] = {SOURCE: None}
        for name in self.topology.order():
            entering = _total([known[parent] for parent in self.input_of(name)])
            known[name] = self.nodes[name].out_channels(entering)
        return _total([known[name] for name in point])

    def halo(self, point: Point) -> int | None:
        """Return how many pixels away the values at a point depend on the cube; None for the whole cube.

        It is the largest sum of the nodes' halos along a path.
        """
        known: dict[str, int | None] = {SOURCE: 0}
        for name in self.topology.order():
            reached = [*(known[parent] for parent in self.input_of(name)), self.nodes[name].halo]
            *before, own = reached
            known[name] = None if None in reached else max(h for h in before if h is not None) + (own or 0)
        reached = [known[name] for name in point]
        return None if None in reached else max(h for h in reached if h is not None)

    def affine(self, point: Point, base: Point, channels: int | None = None) -> Affine | None:
        """Return the composed map from `base` to `point`, from the current weights; None for the identity.

        On the CPU it is composed in float64: then only its product rounds.

        Raises:
            GraphError: a node does not take the channels that it is given.
        """
        if point == base:
            return None
        if len(point) > 1:
            maps = [self.affine((name,), base, channels) for name in point]
            template = next(m for m in maps if m is not None)
            return stack([m or identity_like(template.center) for m in maps])
        return self._node_affine(point[0], base, channels)

    def _node_affine(self, name: str, base: Point, channels: int | None) -> Affine:
        """Return the affine part of a node after everything from `base` to its input."""
        node = self.nodes[name]
        assert isinstance(node, AffineNode)
        inner = self.affine(self.input_of(name), base, channels)
        require_fitted(node)
        following = follower(node)
        own = node.affine() if following is None else following.followed(self._path_to(name))
        own = own.double() if own.weight.is_cpu else own
        entering = channels if inner is None else inner.out_channels
        if entering is not None:
            check_channels(node, own.in_channels, entering)
        return own.after(inner)

    def map_of(self, name: str, base: Point, entering: CubeTensor) -> Affine:
        """Return a node's composed map from `base`, in the dtype of what is there."""
        key = (name, base, entering.shape[1], entering.dtype)
        if self._maps is not None and key in self._maps:
            return self._maps[key]
        composed = self.affine((name,), base, entering.shape[1])
        assert composed is not None
        ready = composed.to(entering.dtype)
        if self._maps is not None:
            self._maps[key] = ready
        return ready

    def _path_to(self, name: str) -> Affine | None:
        """Return the current map from the point where the node's sketch was taken to its input."""
        point = self.input_of(name)
        return self.affine(point, self.base(point))

    @torch.no_grad()
    def refresh_followers(self) -> None:
        """Set the state of nodes that derive it to what they derive now."""
        for name, node in self.nodes.items():
            if (following := follower(node)) is not None and node.fitted:
                following.refresh(self._path_to(name))


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
