"""What every node is: a module that maps a cube (b, c, h, w) to a cube (b, k, h, w).

A node of your own needs `forward` alone. If it is fitted to data, let `requires_initial_fit` be
True and implement `initialize_from_data`. The rest of this file lets the project's own nodes take
part in the shortcuts: a node that is affine over the spectrum, up to a pointwise `head`, is folded
into one matrix product with its neighbours, and one that says which sketch it is fitted from
shares its pass over the data with the others.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cuvis_ai.errors import ConfigError, GraphError, NotFittedError
from cuvis_ai.functional.affine import Affine
from cuvis_ai.stats import Sketch, Structure
from cuvis_ai.types import CubeTensor, MappedCube

_UNFITTED = torch.Size([0])


class Node(nn.Module, ABC):
    """Maps a cube to a cube.

    Constructor arguments are kept as attributes of the same name, so that a graph can be saved.

    Attributes:
        name: the node's name in its graph; None outside a graph.
        trainable: whether `prepare_for_train` turns the fitted state into parameters.
    """

    state_names: ClassVar[tuple[str, ...]] = ()
    """Buffers that fitting fills; they have the shape (0,) until then."""

    state_shapes: ClassVar[Mapping[str, str]] = {}
    """Axes of these buffers once filled, as letters or numbers: "k c". They are checked in loaded files."""

    trained_names: ClassVar[tuple[str, ...]] = ()
    """Those of `state_names` that `prepare_for_train` turns into parameters."""

    def __init__(self, *, trainable: bool = False) -> None:
        super().__init__()
        self.name: str | None = None
        self.trainable = trainable
        for state in self.state_names:
            self.register_buffer(state, torch.empty(0))
        self.register_load_state_dict_pre_hook(_allocate_before_load)  # type: ignore[no-untyped-call]  # torch

    @abstractmethod
    def forward(self, cube: CubeTensor) -> MappedCube:
        """Return the mapped cube."""

    # What the graph asks before any data are seen.

    @property
    def requires_initial_fit(self) -> bool:
        """Whether the node must see the training data before it can be used."""
        return bool(self.state_names)

    @property
    def structure(self) -> Structure:
        """How the node acts on the spectrum: OPAQUE unless it has an `affine()`."""
        return Structure.OPAQUE

    @property
    def has_head(self) -> bool:
        """Whether something follows the affine map, so that nothing folds past this node."""
        return False

    @property
    def sketch(self) -> type[Sketch] | None:
        """What the node is fitted from; None if from nothing, or by `initialize_from_data`."""
        return None

    @property
    def references(self) -> tuple[str, ...]:
        """Names of nodes whose weights or input this node uses without reading their output."""
        return ()

    @property
    def decodes(self) -> str | None:
        """The name of the node whose input this one gives back; None for a node that is no decoder."""
        return None

    @property
    def fitted_with_input_of(self) -> str | None:
        """A node whose input comes, as further channels, before this node's own when it is fitted."""
        return None

    @property
    def emits_logits(self) -> bool:
        """Whether the output is a logit, so that a sigmoid makes a probability of it."""
        return False

    @property
    def follows(self) -> bool:
        """Whether the statistics are derived anew from moments further upstream, see `followed`."""
        return False

    def bind(self, referenced: Mapping[str, "Node"]) -> None:
        """Receive the nodes named in `references`, to be kept as plain references, not as submodules."""
        return

    def out_channels(self, in_channels: int | None) -> int | None:
        """The number of channels that come out for `in_channels` going in; None if not known yet."""
        return None

    # Fitting.

    @property
    def fitted(self) -> bool:
        """Whether the statistics are known."""
        return all(getattr(self, state).shape != _UNFITTED for state in self.state_names)

    def finalize(self, sketch: Sketch) -> None:
        """Set the fitted state from the sketch of everything that entered the node."""
        raise NotImplementedError(f"{type(self).__name__} declares a sketch but no `finalize`.")

    def initialize_from_data(self, cubes: Iterator[CubeTensor]) -> None:
        """Fit to the cubes that enter the node, for nodes that declare no `sketch`.

        Args:
            cubes: (b, c, h, w) each. A batch with invalid pixels comes as its valid pixels alone,
                shaped (1, c, n, 1), so that no statistic sees the others.
        """
        raise NotImplementedError(
            f"{self.label}: `requires_initial_fit` is True, but `initialize_from_data` is not implemented."
        )

    def initial_state(self) -> Mapping[str, Tensor]:
        """State that is known without data."""
        return {}

    def remember(self, upstream: Sketch) -> None:
        """Keep the sketch from which a node that `follows` derives its statistics."""
        raise NotImplementedError(f"{type(self).__name__} follows nothing.")

    def fit_report(self) -> list[str]:
        """Lines for the console after fitting."""
        return []

    def set_state(self, **state: Tensor) -> None:
        """Set buffers or parameters, of any shape, in the node's dtype and device."""
        for key, value in state.items():
            if parametrize.is_parametrized(self, key):
                parametrize.remove_parametrizations(self, key)
            old = getattr(self, key)
            new = value.detach().to(old.device, old.dtype).contiguous().clone()
            if isinstance(old, nn.Parameter):
                self.register_parameter(key, nn.Parameter(new, requires_grad=old.requires_grad))
            else:
                self.register_buffer(key, new)

    def allocate(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """Make room for a fitted state of these shapes, before it is loaded."""
        self.set_state(**{key: torch.zeros(tuple(shape)) for key, shape in shapes.items()})

    def forget(self) -> None:
        """Return to the unfitted state."""
        self.freeze()
        for state in self.state_names:
            old = getattr(self, state)
            self.register_buffer(state, torch.empty(0, dtype=old.dtype, device=old.device))
        self.set_state(**self.initial_state())

    # Training.

    def prepare_for_train(self) -> None:
        """Turn the trained part of the fitted state into parameters, if `trainable`; changes no output."""
        self.require_fitted()
        if not self.trainable:
            return
        for state in self.trained_names:
            value = getattr(self, state)
            if not (isinstance(value, nn.Parameter) or parametrize.is_parametrized(self, state)):
                delattr(self, state)
                self.register_parameter(state, nn.Parameter(value.detach().clone()))
        self.constrain()

    def constrain(self) -> None:
        """Put parametrizations on parameters that have to keep a property while they are trained."""
        return

    @property
    def constrained(self) -> bool:
        """Whether a parametrization stands behind some parameter."""
        return bool(parametrize.is_parametrized(self))

    def plain_state(self) -> dict[str, Tensor]:
        """The state dict, with the value of a parametrized parameter under its own name."""
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("parametrizations.")}
        return state | {name: getattr(self, name).detach() for name in self.state_names if name not in state}

    def freeze(self) -> None:
        """Turn parameters back into buffers; undoes `prepare_for_train`."""
        for state in self.trained_names:
            if parametrize.is_parametrized(self, state):
                parametrize.remove_parametrizations(self, state)
            value = getattr(self, state)
            if isinstance(value, nn.Parameter):
                delattr(self, state)
                self.register_buffer(state, value.detach().clone())

    # The affine form.

    def affine(self) -> Affine:
        """The affine map that the node begins with; only for a `structure` that is not OPAQUE."""
        raise NotImplementedError(f"{self.label} has no affine form.")

    def followed(self, path: Affine | None) -> Affine:
        """The affine map of a node that `follows`, given the map from the remembered sketch to its input."""
        raise NotImplementedError(f"{type(self).__name__} follows nothing.")

    def refresh(self, path: Affine | None) -> None:
        """Set the state of a node that `follows` to what it derives at present."""
        raise NotImplementedError(f"{type(self).__name__} follows nothing.")

    def head(self, projected: CubeTensor) -> MappedCube:
        """What follows the affine map: nothing, unless `has_head`.

        It acts on each pixel by itself, and its value is not finite where a channel it is given is not:
        pixels without data are found by that.
        """
        return projected

    def spectral(self, cube: CubeTensor) -> MappedCube:
        """Return head(affine(cube)): the `forward` of every node with an affine form."""
        self.require_fitted()
        affine = self.affine()
        self.check_channels(affine.in_channels, cube.shape[1])
        return affine.on_cube(cube, self.head if self.has_head else None)

    # Messages and saving.

    @property
    def label(self) -> str:
        """How messages name the node: its class, and its name in the graph."""
        kind = class_of(self).__name__
        return f"{kind} `{self.name}`" if self.name else kind

    def check_channels(self, expected: int, got: int) -> None:
        """Raise a `GraphError` unless an input has the expected number of channels."""
        if got != expected:
            raise GraphError(
                f"{self.label}: expected {expected} channels (as initialised), got {got}. Connect a node or "
                f"pass a cube with {expected} channels, or forget the statistics with `graph.reset()` and "
                f"run the statistical phase again."
            )

    def require_fitted(self) -> None:
        """Raise a `NotFittedError` unless the statistics are known."""
        if not self.fitted:
            raise NotFittedError(
                f"{self.label} is not fitted yet. Run `graph.train(datamodule=…)` first; "
                f"`max_epochs=0` runs the statistical phase alone."
            )

    def extra_repr(self) -> str:
        """Return the constructor arguments, as torch prints them inside the brackets."""
        return ", ".join(f"{key}={value!r}" for key, value in hyperparameters(self).items())


@runtime_checkable
class HasComponents(Protocol):
    """A node that projects onto components: what the component leaves need of their parent."""

    components: Tensor
    """(k, c), one component a row."""

    mean: Tensor
    """(c,), what is subtracted before the projection."""

    @property
    def scale(self) -> Float[Tensor, " k"]:
        """What each score is multiplied with after the projection: 1, or 1/σ for whitened scores."""


def hyperparameters(module: nn.Module) -> dict[str, Any]:
    """Return the constructor arguments of a node or leaf, read back from its attributes."""
    return {name: getattr(module, name) for name in _arguments(class_of(module))}  # type: ignore[arg-type]  # classes can be hashed


@cache
def _arguments(cls: type[nn.Module]) -> tuple[str, ...]:
    return tuple(inspect.signature(cls).parameters)


def class_of(module: nn.Module) -> type[nn.Module]:
    """Return a module's class; torch gives a parametrized module a class of its own."""
    return parametrize.type_before_parametrizations(module)


def require(condition: bool, where: str, expected: str, got: object, remedy: str = "") -> None:
    """Raise a `ConfigError` in the project's form unless `condition` holds."""
    if not condition:
        raise ConfigError(f"{where}: expected {expected}, got {got!r}.{' ' + remedy if remedy else ''}")


def _allocate_before_load(
    module: nn.Module, state_dict: Mapping[str, Tensor], prefix: str, *_: object
) -> None:
    """Let an unfitted node take the shapes that it is about to load."""
    assert isinstance(module, Node)
    module.allocate(
        {
            name: state_dict[prefix + name].shape
            for name in module.state_names
            if prefix + name in state_dict and getattr(module, name).shape == _UNFITTED
        }
    )
