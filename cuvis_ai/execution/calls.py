"""Calls of single nodes, whose errors name the node and its input."""

import torch
from torch import Tensor

from cuvis_ai.errors import GraphError
from cuvis_ai.node.base import Node, require_fitted, sees_valid
from cuvis_ai.types import CubeTensor, PixelMask


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
