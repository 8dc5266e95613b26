"""`read_batch`: one cube, from a file or in memory, as the batch that the data modules would make of it."""

from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from numpy.typing import NDArray

from cuvis_ai.data.band_selection import BandSelection
from cuvis_ai.data.cube import Cube
from cuvis_ai.data.folders import cube_name
from cuvis_ai.data.loading.pixels import Window, read_window, why_invalid
from cuvis_ai.data.opened_cube import opened
from cuvis_ai.data.options import ReadingOptions, SceneArguments, refuse
from cuvis_ai.data.sources.scaling import Scaling
from cuvis_ai.errors import ConfigError, CubeFormatError
from cuvis_ai.paths import StrPath
from cuvis_ai.plain_types import argument_misfits
from cuvis_ai.types import Batch

if TYPE_CHECKING:
    from xarray import DataArray


def read_batch(
    source: "StrPath | Cube | NDArray[Any] | DataArray",
    key: str | None = None,
    **options: Unpack[SceneArguments],
) -> Batch:
    """Return a whole cube as a batch of one: `cube` (1, c, h, w), `valid`, `wavelengths`, `name`, `scale`.

    Bad bands are dropped, and pixels without data are not `valid`, as in the data modules.

    Args:
        source: a file in any format that `read_cube` knows, which must fit into memory; an opened `Cube`; a
            NumPy array (h, w, c); or an xarray DataArray.
        key: the cube's array in a file of several.
        options: `axes`, `wavelengths`, `bad_bands`, `no_data`, `saturation` and `scaled` of `ReadingOptions`.

    Raises:
        DatasetNotFoundError: there is no such file.
        CubeFormatError: it cannot be read as a cube, or has no valid pixel; the bands or the mask that leave
            none are named.
        ConfigError: an option that is impossible, or does not fit the cube.

    Example:
        >>> batch = read_batch("scene.hdr", no_data=0)
        >>> sorted(batch), batch["cube"].shape
        (['cube', 'name', 'wavelengths'], torch.Size([1, 8, 40, 30]))
    """
    plain: dict[str, Any] = {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for name, value in options.items()
    }
    if problems := argument_misfits(plain, ReadingOptions, "read_batch", finite=False):
        raise ConfigError("\n".join(problems))
    reading = ReadingOptions(**plain)
    refuse("read_batch", reading.problems())
    cube = opened(source, reading, key)
    bands = BandSelection.of(cube, reading)
    batch = cube_batch(cube, bands, reading)
    if bands.scaling.known and bands.scaling != Scaling():
        batch["scale"] = [bands.scale.text]
    return batch


def cube_batch(cube: Cube, bands: BandSelection, reading: ReadingOptions) -> Batch:
    """Return some bands of an opened cube as a batch of one, as `read_batch` does.

    Raises:
        CubeFormatError: no pixel is valid, or the values are not real numbers.
    """
    whole = Window(0, 0, *cube.shape[:2])
    batch = window_batch(cube, whole, bands, reading)
    if "valid" in batch and not bool(batch["valid"].any()):
        raise CubeFormatError(
            f"{cube.path}: expected at least one valid pixel, got none of {batch['valid'].numel()}: "
            f"{why_invalid(cube, whole, bands.kept, reading)}. Pass `bad_bands=[…]` to `read_batch` to "
            "leave bands out, or `no_data=` if the value is a measurement."
        )
    return batch


def window_batch(
    cube: Cube, window: Window, bands: BandSelection, reading: ReadingOptions, *, as_stored: bool = False
) -> Batch:
    """Return a window of an opened cube as a batch of one, whether or not a pixel is valid.

    With `as_stored` it lies in memory as in the file, else channels-last.

    Raises:
        CubeFormatError: the window leaves the cube, or the values are not real numbers.
    """
    return pixels_batch(cube, bands, *read_window(cube, window, bands, reading, as_stored=as_stored))


def pixels_batch(
    cube: Cube, bands: BandSelection, pixels: NDArray[np.float32], valid: NDArray[np.bool_] | None
) -> Batch:
    """Return what `read_window` returned of a cube as a batch of one."""
    batch: Batch = {
        "cube": torch.from_numpy(pixels)[None].permute(0, 3, 1, 2),
        "name": [cube_name(cube.path)],
    }
    if valid is not None:
        batch["valid"] = torch.from_numpy(valid)[None]
    if bands.wavelengths is not None:
        batch["wavelengths"] = torch.from_numpy(bands.wavelengths.astype(np.float32))
    return batch
