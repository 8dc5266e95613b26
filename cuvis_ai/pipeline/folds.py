"""Folded chains, kept from one call to the next while nothing that they are made of has changed.

Folding a chain takes a third of the time in which a cube of ordinary size is multiplied. The values of
states are compared, not their versions: also a weight that was changed through `.data` is noticed. A step
with gradients folds anew, since its weights have changed and its graph is needed; so does a device, where
looking at a value would make the host wait.

May import: `affine`, `node.base`, `pipeline.topology`.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cuvis_ai.affine import Affine
from cuvis_ai.node.base import Node, hyperparameters
from cuvis_ai.pipeline.topology import Point, Topology


@dataclass(frozen=True)
class _Seen:
    """A node as it was, its state in copies."""

    name: str
    node: Node
    parents: Point
    settings: tuple[Any, ...]
    state: tuple[Tensor, ...]


@dataclass(frozen=True)
class _Fold:
    """What a chain came to, and of what."""

    seen: tuple[_Seen, ...]
    affine: Affine


class Folds:
    """The last folds of one graph's chains.

    Args:
        topology: names and order.
        nodes: the nodes by name.
    """

    def __init__(self, topology: Topology, nodes: Mapping[str, Node]) -> None:
        self.topology = topology
        self.nodes = nodes
        self._last: dict[Hashable, _Fold] = {}

    def kept(self, name: str, place: Hashable, fold: Callable[[], Affine]) -> Affine:
        """Return `fold()`, or what it returned last if that must be the same.

        Args:
            name: the chain's last node; all before it count as parts of the chain.
            place: tells this chain from others that end there.
            fold: composes the chain from the present weights.
        """
        last = self._last.get((name, place))
        if last is not None and all(map(self._unchanged, last.seen)):
            return last.affine
        chain = {member: self.nodes[member] for member in self.topology.ancestors((name,))}
        if not all(_comparable(_state(node)) for node in chain.values()):
            return fold()
        # Usable in any mode: what is made in inference mode would break a later backward.
        with torch.inference_mode(False), torch.no_grad():
            seen = tuple(
                _Seen(
                    member, node, self.topology.parents[member], _settings(node),
                    tuple(tensor.detach().clone() for tensor in _state(node)),
                )
                for member, node in chain.items()
            )  # fmt: skip
            affine = fold()
        self._last[name, place] = _Fold(seen, affine)
        return affine

    def _unchanged(self, seen: _Seen) -> bool:
        node = seen.node
        if self.topology.parents.get(seen.name) != seen.parents or self.nodes[seen.name] is not node:
            return False
        settings, state = _settings(node), _state(node)
        return (
            _comparable(state)
            and len(state) == len(seen.state)
            and all(now is then for now, then in zip(settings, seen.settings, strict=True))
            and all(
                now.dtype == then.dtype and torch.equal(now, then)
                for now, then in zip(state, seen.state, strict=True)
            )
        )


def _settings(node: Node) -> tuple[Any, ...]:
    return tuple(hyperparameters(node).values())


def _state(module: nn.Module) -> list[Tensor]:
    # What `parameters` and `buffers` give, which take ten times as long.
    own = (*module._parameters.values(), *module._buffers.values())
    return [tensor for tensor in own if tensor is not None] + [
        tensor for child in module.children() for tensor in _state(child)
    ]


def _comparable(state: Iterable[Tensor]) -> bool:
    """Whether looking at values makes nobody wait, and no gradient is asked for."""
    grad = torch.is_grad_enabled()
    return all(tensor.is_cpu and not (grad and tensor.requires_grad) for tensor in state)
