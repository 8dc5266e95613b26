"""Any torch module as a node."""

import inspect
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.node.base import Node, class_of
from cuvis_ai.types import CubeTensor, MappedCube, PixelMask

_PLAIN = (bool, int, float, str, type(None))


class TorchNode(Node):
    """Applies a `torch.nn.Module` that maps cubes to cubes: y = module(x).

    Pixels that are not valid enter the module as zeros. A saved graph holds the module's class path,
    arguments and weights; to load it, the module's package has to be allowed, as that of any class that is
    not ours: `Graph.load_from_file(path, allow=["torch.nn", "my_package"])`.

    Shape:
        input (b, c, h, w) → output (b, k, h, w), as the module has it; height and width stay.

    Args:
        module: the module, whose weights are used as they are.
        arguments: its constructor's arguments, to make it again from a file; None: its attributes of the same
            names, as torch's own modules have them.
        trainable: whether the gradient phase trains the module's parameters.
        reach: pixels to each side that an output depends on, so that large scenes are read in strips; None
            for the whole cube.

    Raises:
        GraphError: the module returns no cube of the same height and width.

    Example:
        >>> node = TorchNode(nn.Conv2d(5, 2, kernel_size=3, padding=1), reach=1)
        >>> node(torch.zeros(1, 5, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool)).shape
        torch.Size([1, 2, 4, 4])
    """

    needs_valid = True

    def __init__(
        self,
        module: nn.Module,
        arguments: dict[str, Any] | None = None,
        *,
        trainable: bool = False,
        reach: int | None = None,
    ) -> None:
        super().__init__(trainable=trainable)
        self.module = module
        self.arguments = arguments if arguments is not None else _arguments_of(module)
        self.reach = reach
        self.halo = reach
        self.module.requires_grad_(False)

    def prepare_for_train(self) -> None:
        """Let the module's parameters have gradients, if `trainable`."""
        super().prepare_for_train()
        self.module.requires_grad_(self.trainable)

    @override
    def out_channels(self, in_channels: int | None) -> int | None:
        if in_channels is None:
            return None
        like = next(self.module.parameters(), torch.empty(0))
        was_training = self.module.training
        try:
            with torch.no_grad():
                mapped = self.module.eval()(like.new_zeros(1, in_channels, 1, 1))
        except RuntimeError:  # a module that needs more pixels, or other channels: seen when it is applied
            return None
        finally:
            self.module.train(was_training)
        return int(mapped.shape[1])

    @override
    def forward(self, cube: CubeTensor, valid: PixelMask | None = None) -> MappedCube:
        if valid is not None:
            cube = cube.masked_fill(~valid[:, None], 0)
        mapped: MappedCube = self.module(cube)
        b, _, h, w = cube.shape
        shape = tuple(getattr(mapped, "shape", ()))
        if len(shape) != 4 or (shape[0], *shape[2:]) != (b, h, w):
            got = f"shape {shape}" if shape else type(mapped).__name__
            kind = class_of(self.module).__name__
            raise GraphError(
                f"{self.label}: expected {kind} to return a cube ({b}, k, {h}, {w}), got {got}. "
                "A convolution keeps height and width with padding='same'."
            )
        return mapped


def _arguments_of(module: nn.Module) -> dict[str, Any] | None:
    """Return constructor arguments read from attributes; None where one that is needed is not there."""
    found = {}
    for name, parameter in inspect.signature(class_of(module)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            return None
        value = getattr(module, name, parameter)
        if _is_plain(value):
            found[name] = list(value) if isinstance(value, tuple) else value
        elif parameter.default is parameter.empty:
            return None
    return found


def _is_plain(value: object) -> bool:
    return isinstance(value, _PLAIN) or (
        isinstance(value, list | tuple) and all(isinstance(one, _PLAIN) for one in value)
    )
