"""Modules that a node wraps: how files name them, and how they are made of that."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from cuvis_ai.errors import ArchiveError, ConfigError, GraphError
from cuvis_ai.node.base import class_of
from cuvis_ai.node.torch import TorchNode
from cuvis_ai.pipeline.saving.class_path import class_path, resolve

MODULE, ARGUMENTS = "module", "arguments"


def written(arguments: Mapping[str, Any], label: str) -> dict[str, Any]:
    """Return a node's arguments, its module as the path of its class.

    Raises:
        ArchiveError: the module's own arguments are not known.
    """
    module = arguments.get(MODULE)
    if not isinstance(module, nn.Module):
        return dict(arguments)
    if arguments[ARGUMENTS] is None:
        kind = class_of(module).__name__
        raise ArchiveError(
            f"{label}: cannot be saved: expected the arguments that {kind} was made with, which its "
            "attributes do not tell. Give them: TorchNode(module, arguments={…}); what takes modules or any "
            "number of arguments, such as nn.Sequential, becomes a class of your own."
        )
    return {**arguments, MODULE: class_path(class_of(module))}


def made(cls: type[Any], arguments: Mapping[str, Any], allow: Sequence[str], label: str) -> Mapping[str, Any]:
    """Return a node's arguments with the module that they name, made of its own.

    Args:
        cls: the node's class.
        arguments: with the path of a class, and its arguments.
        allow: packages of such classes; none of ours is.
        label: what messages call the node.

    Raises:
        ConfigError: the class is not allowed, or does not take these arguments.
    """
    if not issubclass(cls, TorchNode) or not isinstance(arguments.get(MODULE), str):
        return arguments
    kind, own = resolve(arguments[MODULE], (nn.Module,), allow, ours=()), arguments.get(ARGUMENTS)
    if own is not None and not isinstance(own, dict):
        raise ConfigError(f"{label}: `{ARGUMENTS}`: expected a mapping, got {own!r:.100}.")
    try:
        return {**arguments, MODULE: kind(**(own or {})), ARGUMENTS: own or {}}
    except (ConfigError, GraphError):
        raise
    except Exception as err:  # a constructor that is given what a file says may end in any error
        raise ConfigError(f"{label}: {kind.__name__}: {err!s:.300}") from err
