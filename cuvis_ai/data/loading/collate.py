"""Batches from single cubes: (h, w, c) arrays in, channels-last (b, c, h, w) tensors out."""

import math
from collections.abc import Sequence
from typing import Any, Required, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cuvis_ai.data.sources.number_list import listed
from cuvis_ai.errors import CubeFormatError
from cuvis_ai.types import Batch


class Sample(TypedDict, total=False):
    """One cube as a data set yields it; every key but `cube` is optional."""

    cube: Required[NDArray[Any] | Tensor]
    """Measured values (h, w, c)."""
    mask: NDArray[Any] | Tensor
    """True where a pixel is an anomaly (h, w)."""
    valid: NDArray[Any] | Tensor
    """False where a pixel holds no data (h, w); absent where every pixel is good."""
    core: NDArray[Any] | Tensor
    """False where a pixel is context of a tile (h, w); absent where there is none."""
    labels: NDArray[Any] | Tensor
    """Labels in any shape; those of shape (h, w) are padded with the cube."""
    wavelengths: NDArray[Any] | Tensor
    """Band centres in nm (c,)."""
    name: str
    """Readable name of the cube."""
    window: Sequence[int]
    """Row, column, height and width in the scene, where the cube is a tile of one."""


def collate_cubes(samples: Sequence[Sample], *, pad: bool = False) -> Batch:
    """Return one batch, stacked as (b, h, w, c) and then permuted.

    The strides of `cube` are therefore channels-last, and its flat (n, c) pixel matrix is a view.
    `mask`, `labels`, `wavelengths`, `name` and `window` appear when every sample has them; `valid`
    appears when some sample has it or some pixel was padded, `core` when some sample has it.

    Args:
        samples: cubes (h, w, c) of any real dtype, with one number of bands.
        pad: extend smaller cubes at the bottom and right to the batch's largest height and width;
            the added pixels are `valid=False` and `mask=False`.

    Raises:
        CubeFormatError: no sample; cubes that differ in bands, wavelengths, or (without `pad`) in
            height or width; a mask of another size than its cube; a key that only some samples have.
    """
    if not samples:
        raise CubeFormatError("collate_cubes: expected at least one sample, got none. Check the sampler.")
    cubes = [torch.as_tensor(sample["cube"]) for sample in samples]
    names = [sample.get("name", f"sample {i}") for i, sample in enumerate(samples)]
    size = _common_size(cubes, names, pad)
    cube = _stack([c.to(torch.float32) for c in cubes], size)
    batch: Batch = {"cube": cube.permute(0, 3, 1, 2)}
    if _all_have(samples, "mask", names):
        masks = [_flags(s["mask"], c, "mask", n) for s, c, n in zip(samples, cubes, names, strict=True)]
        batch["mask"] = _stack(masks, size)
    if any("valid" in s or c.shape[:2] != size for s, c in zip(samples, cubes, strict=True)):
        valid = [
            _flags(s.get("valid", torch.ones(c.shape[:2])), c, "valid", n)
            for s, c, n in zip(samples, cubes, names, strict=True)
        ]
        batch["valid"] = _stack(valid, size)
    if any("core" in s for s in samples):
        core = [
            _flags(s.get("core", torch.ones(c.shape[:2])), c, "core", n)
            for s, c, n in zip(samples, cubes, names, strict=True)
        ]
        batch["core"] = _stack(core, size)
    if _all_have(samples, "labels", names):
        batch["labels"] = _stack_labels([torch.as_tensor(s["labels"]) for s in samples], cubes, size, names)
    if _all_have(samples, "wavelengths", names):
        batch["wavelengths"] = _shared_wavelengths(
            [torch.as_tensor(s["wavelengths"]) for s in samples], names
        )
    if _all_have(samples, "name", names):
        batch["name"] = names
    if _all_have(samples, "window", names):
        batch["window"] = torch.tensor([list(sample["window"]) for sample in samples])
    return batch


def _common_size(cubes: Sequence[Tensor], names: Sequence[str], pad: bool) -> tuple[int, int]:
    """Height and width of the batch."""
    for cube, name in zip(cubes, names, strict=True):
        if cube.ndim != 3 or 0 in cube.shape:
            raise CubeFormatError(
                f"collate_cubes `{name}`: expected a cube (h, w, c) without an empty axis, "
                f"got shape {tuple(cube.shape)}. Give every cube its three axes."
            )
        if cube.shape[2] != cubes[0].shape[2]:
            raise CubeFormatError(
                f"collate_cubes `{name}`: expected {cubes[0].shape[2]} bands as in `{names[0]}`, "
                f"got {cube.shape[2]} in shape {tuple(cube.shape)}. Put cubes of one sensor in a batch."
            )
        if not pad and cube.shape[:2] != cubes[0].shape[:2]:
            raise CubeFormatError(
                f"collate_cubes `{name}`: expected {_size(cubes[0])} pixels as in `{names[0]}`, "
                f"got {_size(cube)}. Pass `pad=True` to pad the batch with `valid=False` pixels, cut the "
                "cubes into tiles of one size (`SceneTiles`), or use `batch_size=1`."
            )
    return max(cube.shape[0] for cube in cubes), max(cube.shape[1] for cube in cubes)


def _size(cube: Tensor) -> str:
    return f"{cube.shape[0]}x{cube.shape[1]}"


def _stack(parts: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Stack (h, w, ...) tensors of one dtype; smaller ones are extended with zeros."""
    even = all(part.shape[:2] == size for part in parts)
    if even and len(parts) == 1:
        return parts[0].unsqueeze(0)  # a view: no copy of what may be a large tile
    stacked = _empty((len(parts), *size, *parts[0].shape[2:]), parts[0])
    if not even:
        stacked.zero_()
    for row, part in zip(stacked, parts, strict=True):
        row[: part.shape[0], : part.shape[1]] = part
    return stacked


def _empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """New memory of a tensor's dtype and device.

    On the CPU NumPy gives it, which asks for large pages: they are filled in half the time.
    """
    if not like.is_cpu:
        return like.new_empty(shape)
    n_bytes = math.prod(shape) * like.element_size()
    return torch.from_numpy(np.empty(n_bytes, np.uint8)).view(like.dtype).view(shape)


def _flags(flags: NDArray[Any] | Tensor, cube: Tensor, key: str, name: str) -> Tensor:
    """One flag a pixel (h, w), checked against its cube."""
    tensor = torch.as_tensor(flags)
    if tensor.shape != cube.shape[:2]:
        raise CubeFormatError(
            f"collate_cubes `{name}`: expected `{key}` of shape {tuple(cube.shape[:2])} as its cube, "
            f"got {tuple(tensor.shape)}. Make the two of one size."
        )
    return tensor.to(torch.bool)


def _stack_labels(
    labels: Sequence[Tensor], cubes: Sequence[Tensor], size: tuple[int, int], names: Sequence[str]
) -> Tensor:
    """Labels as they are; class maps of the cubes' own sizes are padded alike."""
    if all(label.shape[:2] == cube.shape[:2] for label, cube in zip(labels, cubes, strict=True)):
        return _stack(labels, size)
    shapes = {tuple(label.shape) for label in labels}
    if len(shapes) > 1:
        raise CubeFormatError(
            f"collate_cubes `{names[0]}`: expected `labels` of one shape or of their cubes' heights and "
            f"widths, got shapes {sorted(shapes)}. Give all cubes of a batch labels of one shape."
        )
    return torch.stack(list(labels))


def _shared_wavelengths(axes: Sequence[Tensor], names: Sequence[str]) -> Tensor:
    """The one spectral axis that all cubes of a batch share."""
    first = axes[0].to(torch.float32)
    for axis, name in zip(axes, names, strict=True):
        if not torch.equal(axis.to(torch.float32), first):
            raise CubeFormatError(
                f"collate_cubes `{name}`: expected the wavelengths of `{names[0]}`, "
                f"{listed(first.tolist())} nm, got {listed(axis.tolist())} nm. "
                "Put cubes of one spectral axis in a batch."
            )
    return first


def _all_have(samples: Sequence[Sample], key: str, names: Sequence[str]) -> bool:
    """Whether every sample has the key; a key that only some have is an error."""
    missing = [name for name, sample in zip(names, samples, strict=True) if key not in sample]
    if missing and len(missing) < len(samples):
        raise CubeFormatError(
            f"collate_cubes: expected `{key}` in every sample or in none, it is missing in {missing}. "
            f"Add `{key}` to these or leave it out everywhere."
        )
    return not missing
