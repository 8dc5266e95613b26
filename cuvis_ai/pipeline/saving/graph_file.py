"""From a graph's members to an archive, and back."""

from collections.abc import Sequence
from pathlib import Path

from cuvis_ai.errors import ArchiveError, GraphError, NotFittedError
from cuvis_ai.pipeline.graph_members import Members
from cuvis_ai.pipeline.saving import archive
from cuvis_ai.pipeline.saving.probe import check_probe, probe
from cuvis_ai.pipeline.trained_bands import TrainedBands


def save(path: str | Path, name: str, bands: TrainedBands, members: Members) -> None:
    """Write a graph to exactly that path."""
    nodes = {key: (node, members.topology.parents[key]) for key, node in members.in_order().items()}
    leaves = {key: (members.leaf(key), parent) for key, parent in members.topology.leaves.items()}
    dtype, state = members.execution.dtype, members.state_dict()
    saved = archive.Saved(name, dtype, nodes, leaves, state, bands, probe(members.execution))
    archive.save(path, saved)


def load(path: str | Path, allow: Sequence[str], *, into: Members) -> tuple[str, TrainedBands]:
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
