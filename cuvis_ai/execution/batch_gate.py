"""The gate where batches enter a graph: what its keys may hold, converted or refused once."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cuvis_ai.errors import GraphError
from cuvis_ai.types import PixelMask

FLAGS = ("mask", "valid", "core")
"""Keys that hold one flag a pixel."""


def with_cube(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a batch whose cube has the key `cube`: `x`, as some data sets say, means the same.

    Example:
        >>> sorted(with_cube({"x": torch.zeros(1, 2, 3, 3), "name": ["a"]}))
        ['cube', 'name']
    """
    if "cube" in batch or "x" not in batch:
        return batch
    return {"cube" if key == "x" else key: value for key, value in batch.items()}


def checked_batch(batch: Any, device: torch.device, dtype: torch.dtype) -> Mapping[str, Any]:
    """Return a loader's batch with its tensors on the device and its flags as bool (b, h, w).

    A float32 cube, as all data modules of this project give, is widened for a graph in float64.

    Raises:
        GraphError: a key holds what it cannot mean; the key, its shape or its values are named.
    """
    batch = with_cube(batch) if isinstance(batch, Mapping) else batch
    if not isinstance(batch, Mapping) or "cube" not in batch:
        got = f"keys {sorted(batch)}" if isinstance(batch, Mapping) else type(batch).__name__
        raise GraphError(
            f'batch: expected a mapping with the key "cube", got {got}. See `cuvis_ai.types.Batch`.'
        )
    cube = batch["cube"]
    if isinstance(cube, Tensor) and (cube.dtype, dtype) == (torch.float32, torch.float64):
        batch = {**batch, "cube": cube.double()}
    check_cube(batch["cube"], dtype)
    given = {key: value for key, value in batch.items() if value is not None}
    checked = {key: pixel_flags(key, given[key], batch["cube"]) for key in FLAGS if key in given}
    if "wavelengths" in given:
        checked["wavelengths"] = spectral_axis(given["wavelengths"], batch["cube"])
    return {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in {**batch, **checked}.items()
    }


def spectral_axis(wavelengths: object, cube: Tensor) -> Float[Tensor, " c"]:
    """Return the band centres that all cubes of a batch share; PyTorch's own collate repeats them (b, c).

    Example:
        >>> spectral_axis(torch.tensor([[400.0, 500.0], [400.0, 500.0]]), torch.zeros(2, 2, 8, 8)).tolist()
        [400.0, 500.0]

    Raises:
        GraphError: they are not one a band, or not those of all cubes.
    """
    b, c, *_ = cube.shape
    try:
        axis = torch.as_tensor(wavelengths)
    except (TypeError, ValueError, RuntimeError) as err:
        raise GraphError(
            f"wavelengths: expected a tensor ({c},), got a {type(wavelengths).__name__}."
        ) from err
    shared = axis.shape == (b, c) and bool((axis == axis[0]).all())
    axis = axis[0] if shared else axis
    if axis.shape != (c,):
        raise GraphError(
            f"wavelengths: expected the centres of the {c} bands that all cubes of a batch share, ({c},), "
            f"got shape {tuple(axis.shape)}. Leave out those of bands that the cubes lack, and put cubes of "
            "one spectral axis in a batch."
        )
    return axis


def pixel_flags(key: str, value: object, cube: Tensor) -> PixelMask:
    """Return one flag a pixel as bool (b, h, w).

    Numbers are flags where they are 0 and 1, or 0 and 255, as pictures have them. Floats are so for masks
    alone: elsewhere they may be weights.

    Args:
        key: what the flags are called in messages.
        value: the flags.
        cube: the batch that they belong to.

    Raises:
        GraphError: it is no tensor, of another shape, or holds numbers that are no flags, or may be weights.
    """
    b, _, h, w = cube.shape
    if not isinstance(value, Tensor):
        raise GraphError(f"{key}: expected a torch tensor (b, h, w), got {type(value).__name__}.")
    _require_values(key, value)
    if tuple(value.shape) != (b, h, w):
        channels: dict[tuple[int, ...], str] = {
            (b, 1, h, w): f"{key}[:, 0]",
            (b, h, w, 1): f"{key}[..., 0]",
        }
        channel = channels.get(tuple(value.shape))
        way_out = f"Give its one channel: `{channel}`" if channel else f"Permute cube or {key}"
        raise GraphError(
            f"{key}: expected one flag a pixel, ({b}, {h}, {w}) for the cube {tuple(cube.shape)}, got shape "
            f"{tuple(value.shape)}. {way_out}."
        )
    if value.is_floating_point() and key != "mask":
        raise GraphError(
            f"{key}: expected bool, or whole numbers, got {value.dtype}, which may be weights. Say which "
            f"pixels count: `{key} = {key} > 0`."
        )
    if value.dtype == torch.bool:
        return value
    top = 255 if bool((value == 255).any()) else 1
    if not bool(((value == 0) | (value == top)).all()):
        found = value.unique()
        shown = ", ".join(f"{number:g}" for number in found[:5].tolist())
        raise GraphError(
            f"{key}: expected bool, or 0 and 1, or 0 and 255, got {value.dtype} with {len(found)} values: "
            f"{shown}{', …' if len(found) > 5 else ''}. Say which of them counts: `{key} = labels == k`."
        )
    return value != 0


def _require_values(key: str, tensor: Tensor) -> None:
    """Raise a `GraphError` unless a tensor holds a value for each of its places, in memory."""
    if tensor.layout != torch.strided or tensor.is_meta:
        got = f"one on the device {tensor.device}" if tensor.is_meta else f"the layout {tensor.layout}"
        raise GraphError(f"{key}: expected a dense tensor, got {got}. Convert or read it first.")


def check_cube(cube: object, dtype: torch.dtype) -> None:
    """Raise a `GraphError` unless `cube` is a batch of cubes (b, c, h, w) of the graph's dtype."""
    if not isinstance(cube, Tensor):
        raise GraphError(
            f"cube: expected a torch tensor (b, c, h, w), got {type(cube).__name__}. "
            f"For an array (h, w, c) use torch.from_numpy(array).permute(2, 0, 1)[None]."
        )
    _require_values("cube", cube)
    if cube.ndim != 4:
        hint = "Add the batch axis with cube[None]." if cube.ndim == 3 else "Remove or merge the other axes."
        raise GraphError(
            f"cube: expected four axes (b, c, h, w), got {cube.ndim} in shape {tuple(cube.shape)}. {hint}"
        )
    if cube.dtype != dtype:
        raise GraphError(f"cube: expected dtype {dtype}, got {cube.dtype}. Convert with cube.to({dtype}).")
    if 0 in cube.shape:
        raise GraphError(f"cube: expected at least one pixel and one channel, got shape {tuple(cube.shape)}.")
