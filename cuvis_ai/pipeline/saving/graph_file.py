"""From a graph's members to an archive, and back."""

from collections.abc import Sequence
from pathlib import Path

import torch

from cuvis_ai.errors import ArchiveError, GraphError, NotFittedError
from cuvis_ai.node.base import class_of
from cuvis_ai.node.torch import TorchNode
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.graph_members import Members
from cuvis_ai.pipeline.saving import archive
from cuvis_ai.pipeline.saving.probe import check_probe, probe
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.types import CUBE, Point
from cuvis_ai.whole_file import write_whole


def save(path: StrPath, name: str, bands: TrainedBands, members: Members) -> None:
    """Write a graph to exactly that path; an old file is replaced once the new one has been loaded.

    Raises:
        ArchiveError: the graph cannot be saved, or what was written cannot be loaded.
    """
    nodes = {key: (node, _written_parents(members, key)) for key, node in members.in_order().items()}
    leaves = {key: (members.leaf(key), parent) for key, parent in members.topology.leaves.items()}
    dtype, state = members.execution.dtype, members.state_dict()
    saved = archive.Saved(name, dtype, nodes, leaves, state, bands, probe(members.execution))
    wrapped = [one.module for one in members.nodes.values() if isinstance(one, TorchNode)]
    parts = (*members.nodes.values(), *members.leaves.values(), *wrapped)
    modules = {class_of(one).__module__ for one in parts}
    packages = {module.partition(".")[0] for module in modules} - {"cuvis_ai"}
    write_whole(Path(path), archive.packed(saved), lambda part: _check_loads(part, str(name), [*packages]))


def _written_parents(members: Members, name: str) -> Point:
    """Return a node's parents; of others than the first that read the cube, CUBE."""
    parents = members.topology.parents[name]
    return parents or (() if name == members.topology.root else CUBE)


def _check_loads(part: Path, name: str, packages: Sequence[str]) -> None:
    """Raise an `ArchiveError` unless a file gives a graph that computes what the one in memory does."""
    try:
        with torch.random.fork_rng(devices=[]):  # a constructor may draw random numbers
            load(part, packages, into=Members())
    except ArchiveError as err:
        reason = str(err).removeprefix(f"{part}: ")
        raise ArchiveError(
            f"graph {name!a}: cannot be saved, since what was written could not be loaded: {reason} Nothing "
            "was replaced."
        ) from err


def load(path: StrPath, allow: Sequence[str], *, into: Members) -> tuple[str, TrainedBands]:
    """Fill a new graph with what `save` wrote, checked to compute what it did then; return name and bands."""
    saved, members = archive.load(path, allow), into
    try:
        for name, (node, parents) in saved.nodes.items():
            members.add_node(node, list(parents) or None, name)
        for name, (leaf, parent) in saved.leaves.items():
            members.add_leaf(leaf, parent, name)
        members.nodes.to(saved.dtype)
        members.leaves.to(saved.dtype)
        archive.check_weights(saved.weights, members.state_dict())
        members.load_state_dict(saved.weights)
        check_probe(members.execution, saved.probe)
    except (GraphError, NotFittedError, RuntimeError) as err:
        raise ArchiveError(f"{path}: the parts do not fit each other: {archive.shortened(err)}") from err
    return saved.name, saved.bands
