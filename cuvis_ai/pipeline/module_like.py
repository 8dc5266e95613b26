"""What a graph has in common with a torch module, without being one: `train` would hide `nn.Module.train`."""

from collections.abc import Iterable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from cuvis_ai.errors import GraphError, escaped
from cuvis_ai.execution.needed_channels import needed_channels
from cuvis_ai.pipeline import structure
from cuvis_ai.pipeline.graph_members import Members
from cuvis_ai.plain_types import check_arguments, check_methods
from cuvis_ai.training.monitors import Monitor


class ModuleLike:
    """Nodes and leaves with the methods that users know from `nn.Module`."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_arguments(cls)
        check_methods(cls)

    def __init__(self) -> None:
        self.name = ""
        self._members = Members()
        self.topology = self._members.topology
        self.nodes = self._members.nodes
        self.leaves = self._members.leaves

    @property
    def monitors(self) -> list[Monitor]:
        """What receives what runs log."""
        return self._members.monitors

    @monitors.setter
    def monitors(self, monitors: list[Monitor]) -> None:
        self._members.monitors = monitors

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of cubes that the nodes take."""
        return self._members.execution.dtype

    @property
    def needed_channels(self) -> list[int] | None:
        """Channels of the cube that the graph needs, after a hard choice of bands; None for all."""
        return needed_channels(self._members.execution)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move or convert nodes and leaves, as `nn.Module.to`.

        Raises:
            GraphError: this machine or torch has no such device, or the dtype is none of floating point.
        """
        try:
            torch.empty(0).to(*args, **kwargs)
            self.nodes.to(*args, **kwargs)
            self.leaves.to(*args, **kwargs)
        except (RuntimeError, TypeError, AssertionError) as err:  # of torch without CUDA, the last
            raise GraphError(
                f"to: expected a device that is here, or a floating-point dtype, got: {err}"
            ) from err
        return self

    def eval(self) -> Self:
        """Put nodes and leaves into evaluation mode, as `nn.Module.eval`."""
        self.nodes.eval()
        self.leaves.eval()
        return self

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Yield what training changes, by name."""
        yield from self.nodes.named_parameters("nodes")
        yield from self.leaves.named_parameters("leaves")

    def parameters(self) -> Iterable[nn.Parameter]:
        """Yield what training changes."""
        yield from (parameter for _, parameter in self.named_parameters())

    def state_dict(self) -> dict[str, Tensor]:
        """Return all fitted and trained state, by name."""
        return self._members.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Take the state that `state_dict` returned."""
        self._members.load_state_dict(state_dict)

    def reset(self) -> None:
        """Reset all statistics and trained weights; the structure stays."""
        self._members.reset()

    @property
    def halo(self) -> int | None:
        """How many pixels away an output depends on the cube at most, for who cuts it; None: all of it."""
        return self._members.execution.halo(tuple(self.topology.ends()))

    def __repr__(self) -> str:
        """Return the structure as a tree, each node with its arguments, its leaves below it."""
        lines = structure.tree(self.topology, self._members.in_order(), self.leaves)
        return escaped("\n".join([f"Graph `{self.name}`", *lines]))

    def mermaid(self) -> str:
        """Return the graph as Mermaid text, which GitHub and many editors draw."""
        return escaped(structure.mermaid(self.topology, self._members.in_order()))


check_methods(ModuleLike)
