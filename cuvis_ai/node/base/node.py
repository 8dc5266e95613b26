"""The bases of all nodes: modules that map a cube (b, c, h, w) to a cube (b, k, h, w).

A node of your own derives from `Node` and needs `forward` alone. If it is fitted to data, let
`requires_initial_fit` be True and implement `initialize_from_data`. The project's own nodes also derive
from `FittedNode`, which says from which statistics a node is fitted, so that nodes share a pass over the
data, and from `AffineNode`, whose maps compose into one matrix product with their neighbours'.

A node that looks at neighbours sets `halo`, how many pixels away they are at most. It is then called with
the valid pixels beside the cube, `forward(cube, valid)`, and whoever cuts a scene reads that much around.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from cuvis_ai.errors import GraphError, NotFittedError
from cuvis_ai.functional.affine import Affine
from cuvis_ai.node.base.arguments import class_of, hyperparameters
from cuvis_ai.node.base.state import (
    UNFITTED,
    allocate,
    clear,
    set_state,
    to_buffers,
    to_parameters,
    without_rests,
)
from cuvis_ai.plain_types import check_arguments
from cuvis_ai.stats import Sketch, Structure
from cuvis_ai.types import CubeTensor, MappedCube


class Node(nn.Module, ABC):
    """Maps a cube to a cube.

    Constructor arguments are stored as attributes of the same name, so that a graph can be saved.

    Attributes:
        name: the node's name in its graph; None outside a graph.
        trainable: whether `prepare_for_train` turns the fitted state into parameters.

    Example:
        >>> class Ratio(Node):
        ...     def forward(self, cube):
        ...         return cube[:, :1] / cube[:, 1:2]
        >>> Ratio()(torch.tensor([6.0, 3.0]).view(1, 2, 1, 1)).item()
        2.0
    """

    state_shapes: ClassVar[Mapping[str, str]] = {}
    """Buffers that fitting fills, and their axes once filled, as letters or numbers: {"weight": "k c"}.

    They have the shape (0,) until then. The axes are checked in loaded files.
    """

    trained_names: ClassVar[tuple[str, ...]] = ()
    """Those of them that `prepare_for_train` turns into parameters."""

    emits_logits: ClassVar[bool] = False
    """Whether the output is a logit, so that a sigmoid makes a probability of it."""

    halo: int | None = 0
    """How many pixels away, in rows and columns, the output of a pixel depends on the input at most; None
    for the whole cube. Not 0: `forward(cube, valid)` is called, unless None."""

    needs_valid: bool = False
    """Whether `forward(cube, valid)` is called though `halo` is 0 or None."""

    fit_halo: int = 0
    """How many pixels around those that it is fitted to the node must see while it is fitted."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        check_arguments(cls)

    def __init__(self, *, trainable: bool = False) -> None:
        super().__init__()
        self.name: str | None = None
        self.trainable = trainable
        for state in self.state_shapes:
            self.register_buffer(state, torch.empty(0))
        if _only_says_that_it_is_fitted(type(self)):
            self.register_buffer(INITIALIZED, torch.tensor(False))
        self.register_load_state_dict_pre_hook(_allocate_before_load)  # type: ignore[no-untyped-call]  # torch

    @abstractmethod
    def forward(self, cube: CubeTensor) -> MappedCube:
        """Return the mapped cube.

        With a `halo`, or `needs_valid`, there is a second argument, `valid` (b, h, w): False at pixels
        without data, where the cube holds arbitrary finite values that must change no other pixel's output.
        """

    def out_channels(self, in_channels: int | None) -> int | None:
        """Return the number of channels that leave for `in_channels` entering; None if not known yet."""
        return None

    @property
    def requires_initial_fit(self) -> bool:
        """Whether the node must see the training data before it can be used."""
        return bool(self.state_shapes)

    @property
    def fitted(self) -> bool:
        """Whether the statistics are known."""
        if INITIALIZED in self._buffers:
            return bool(self._buffers[INITIALIZED])
        return all(getattr(self, state).shape != UNFITTED for state in self.state_shapes)

    def initialize_from_data(self, cubes: Iterator[CubeTensor]) -> None:
        """Fit to the cubes that enter the node, for nodes that are no `FittedNode`.

        Args:
            cubes: (b, c, h, w) each. A batch with invalid pixels comes as its valid pixels alone,
                shaped (1, c, n, 1), so that no statistic sees the others.
        """
        raise NotImplementedError(
            f"{self.label}: `requires_initial_fit` is True, but `initialize_from_data` is not implemented."
        )

    def set_state(self, **state: Tensor) -> None:
        """Set buffers or parameters, of any shape, in the node's dtype and on its device.

        Where a node has the state `<name>_rest`, it is set to what the value of `<name>` is rounded by.
        """
        set_state(self, **state)

    def prepare_for_train(self) -> None:
        """Turn the trained part of the fitted state into parameters, if `trainable`; changes no output."""
        require_fitted(self)
        if self.trainable:
            to_parameters(self, self.trained_names)

    @property
    def label(self) -> str:
        """How messages name the node: its class, and its name in the graph."""
        kind = class_of(self).__name__
        return f"{kind} `{self.name}`" if self.name else kind

    def extra_repr(self) -> str:
        """Return the constructor arguments, as torch prints them inside the brackets."""
        return ", ".join(f"{key}={value!r}" for key, value in hyperparameters(self).items())


class FittedNode(Node):
    """A node that is fitted in closed form from a sketch of what enters it.

    Example:
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> issubclass(TrainablePCA, FittedNode), TrainablePCA(3).sketch.__name__
        (True, 'Moments')
    """

    @property
    @abstractmethod
    def sketch(self) -> type[Sketch] | None:
        """The statistics that the node is fitted from; None if its arguments leave nothing to fit."""

    @abstractmethod
    def finalize(self, sketch: Any) -> None:
        """Set the fitted state from the sketch of everything that entered; it is of the class asked for."""

    def initial_state(self) -> Mapping[str, Tensor]:
        """Return the state that is known without data."""
        return {}

    def fit_report(self) -> list[str]:
        """Return lines for the console after fitting."""
        return []


class AffineNode(Node):
    """A node that is an affine map of the spectrum, then possibly a function of each pixel.

    Example:
        >>> class Doubled(AffineNode):
        ...     def affine(self):
        ...         return Affine(torch.full((2,), 2.0), torch.zeros(2), torch.zeros(2))
        >>> Doubled()(torch.tensor([1.0, 3.0]).view(1, 2, 1, 1)).flatten().tolist()
        [2.0, 6.0]
    """

    @property
    def structure(self) -> Structure:
        """How the map acts on the spectrum; OPAQUE for arguments that make it no single affine map."""
        return Structure.DENSE

    @abstractmethod
    def affine(self) -> Affine:
        """Return the map, from the current weights."""

    def pointwise(self, mapped: CubeTensor) -> MappedCube:
        """Return what follows the map: a function of each pixel separately; by default nothing.

        Its value is not finite where a channel it is given is not: pixels without data are found by that.
        """
        return mapped

    def forward(self, cube: CubeTensor) -> MappedCube:
        """Return pointwise(affine(cube))."""
        require_fitted(self)
        affine = self.affine()
        check_channels(self, affine.in_channels, cube.shape[1])
        return affine.on_cube(cube, self.pointwise if has_pointwise(self) else None)


INITIALIZED = "initialized"
"""Buffer that says whether a node that names no state has been fitted."""


def _only_says_that_it_is_fitted(cls: type[Node]) -> bool:
    """Whether a class requires fitting, but neither state nor a property of its own shows that it is done."""
    plain = (Node.requires_initial_fit, Node.fitted)
    return not cls.state_shapes and cls.requires_initial_fit is not plain[0] and cls.fitted is plain[1]


def has_pointwise(node: AffineNode) -> bool:
    """Return whether a function follows the node's map, so that no other map composes with it."""
    return type(node).pointwise is not AffineNode.pointwise


def one_channel(node: Node, in_channels: int | None) -> int:
    """Return 1: `out_channels = one_channel` says that a node gives one score a pixel."""
    return 1


def same_channels(node: Node, in_channels: int | None) -> int | None:
    """Return what enters: `out_channels = same_channels` says that as many channels leave."""
    return in_channels


def structure_of(node: Node) -> Structure:
    """Return how a node acts on the spectrum: OPAQUE unless it is affine."""
    return node.structure if isinstance(node, AffineNode) else Structure.OPAQUE


def sees_valid(node: Node) -> bool:
    """Return whether a node is called with the valid pixels beside the cube."""
    return node.needs_valid or bool(node.halo)


def require_fitted(node: Node) -> None:
    """Raise a `NotFittedError` unless the node's statistics are known."""
    if not node.fitted:
        raise NotFittedError(
            f"{node.label} is not fitted yet. Run `graph.train(datamodule=…)` first; "
            f"`max_epochs=0` runs the statistical phase alone."
        )


def check_channels(node: Node, expected: int, got: int) -> None:
    """Raise a `GraphError` unless an input has the expected number of channels."""
    if got != expected:
        raise GraphError(
            f"{node.label}: expected {expected} channels (as initialised), got {got}. Connect a node or "
            f"pass a cube with {expected} channels, or reset the statistics with `graph.reset()` and "
            f"run the statistical phase again."
        )


def freeze(node: Node) -> None:
    """Turn parameters back into buffers; undoes `prepare_for_train`."""
    to_buffers(node, node.trained_names)
    node.requires_grad_(False)  # what is left are parameters of a module that it wraps


def reset(node: Node) -> None:
    """Return a node to its unfitted state."""
    freeze(node)
    clear(node, node.state_shapes)
    mark_initialized(node, False)
    if isinstance(node, FittedNode):
        node.set_state(**node.initial_state())


def mark_initialized(node: Node, value: bool) -> None:
    """Record whether `initialize_from_data` has run, for a node that names no state to show it."""
    if INITIALIZED in node._buffers:
        cast(Tensor, node._buffers[INITIALIZED]).fill_(value)


def _allocate_before_load(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Let an unfitted node take the shapes that it is about to load."""
    assert isinstance(module, Node)
    state_dict.update(without_rests(module, state_dict, prefix))
    shapes = {
        name: state_dict[prefix + name].shape
        for name in module.state_shapes
        if prefix + name in state_dict and getattr(module, name).shape == UNFITTED
    }
    allocate(module, shapes)


check_arguments(Node)
