"""What a graph is applied to: files, cubes, arrays, batches and tensors, as a batch of its own bands."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cuvis_ai.data.cube import Cube
from cuvis_ai.data.masks import read_mask
from cuvis_ai.data.opened_cube import is_cube_source, opened
from cuvis_ai.data.options import ReadingOptions
from cuvis_ai.data.sources.number_list import listed
from cuvis_ai.data.sources.read_scale import ReadScale
from cuvis_ai.errors import GraphError
from cuvis_ai.execution.batch_gate import FLAGS, check_cube, pixel_flags, spectral_axis, with_cube
from cuvis_ai.execution.execution import Execution
from cuvis_ai.paths import StrPath
from cuvis_ai.pipeline.scene_batch import scene_batch
from cuvis_ai.pipeline.scene_reader import SceneReader
from cuvis_ai.pipeline.trained_bands import TrainedBands
from cuvis_ai.types import Batch

if TYPE_CHECKING:
    from xarray import DataArray

GraphInput: TypeAlias = "Tensor | Mapping[str, Any] | StrPath | Cube | NDArray[Any] | DataArray"
"""A batch of cubes (b, c, h, w), with or without its other keys, or one cube from wherever it is."""

PixelFlags: TypeAlias = Tensor | NDArray[Any]
"""One flag a pixel: (b, h, w), or (h, w) of a single cube."""


@dataclass(frozen=True, kw_only=True)
class InputGate:
    """Where cubes enter a graph that is applied: what they mean is decided here, for all kinds of them.

    Args:
        bands: those of training.
        execution: says on which device and of which dtype cubes have to be.
        wavelengths: centres in nm of all bands of the source, in place of its own.
        match_bands: whether to take the bands nearest to those of training.
    """

    bands: TrainedBands
    execution: Execution
    wavelengths: Sequence[float] | Tensor | None
    match_bands: bool

    def batch(
        self, source: GraphInput, *, valid: PixelFlags | None, mask: PixelFlags | StrPath | None = None
    ) -> Batch:
        """Return a batch of the bands of training, its flags as bool (b, h, w).

        Args:
            source: what the graph is applied to.
            valid: False at pixels without data, besides those of which the source says so.
            mask: True at anomalies, masked where that is unknown; or the file of a mask.

        Raises:
            GraphError: it does not fit the graph, or a band that the graph needs holds no data.
            CubeFormatError: a file cannot be read, or has no valid pixel.
            ConfigError: the wavelengths are not one a band.
            DatasetNotFoundError: there is no such file.
        """
        batch = self._read(source) if is_cube_source(source) else self._given(source)
        cube = batch["cube"]
        if isinstance(mask, str | os.PathLike):
            mask = read_mask(mask, (cube.shape[2], cube.shape[3]))
        flags = {
            key: [
                pixel_flags(key, _as_tensor(one, cube), cube)
                for one in (batch.get(key), own)
                if one is not None
            ]
            for key, own in {**dict.fromkeys(FLAGS), "mask": mask, "valid": valid}.items()
        }
        if isinstance(mask, np.ma.MaskedArray):
            flags["valid"].append(_as_tensor(~np.ma.getmaskarray(mask), cube))
        if not flags["valid"]:
            _require_data(cube)
        # A mask that is given is in place of the batch's own; what one of the others leaves out is out.
        chosen = {
            key: found[-1] if key == "mask" else torch.stack(found).all(0)
            for key, found in flags.items()
            if found
        }
        return cast(Batch, {**batch, **chosen})

    def _given(self, source: GraphInput) -> Batch:
        """A tensor, or a batch."""
        batch: dict[str, Any] = dict(with_cube(source)) if isinstance(source, Mapping) else {"cube": source}
        if "cube" not in batch:
            raise GraphError(f'batch: expected the key "cube", got {sorted(batch)}.')
        if batch["cube"] is source and not isinstance(source, Tensor):
            raise GraphError(
                "cube: expected a torch tensor (b, c, h, w), a batch, or one cube as a path, a Cube, a NumPy "
                f"array (h, w, c) or an xarray DataArray, got {type(source).__name__}."
            )
        check_cube(batch["cube"], self.execution.dtype)
        for text in batch.pop("scale", ()):
            self.bands.check_scale(ReadScale.of_plain(json.loads(text)), "cube")
        if batch.get("wavelengths") is not None:
            batch["wavelengths"] = spectral_axis(batch["wavelengths"], batch["cube"])
        wavelengths = batch.get("wavelengths") if self.wavelengths is None else self.wavelengths
        if self.match_bands:
            batch["cube"] = batch["cube"][:, self.bands.nearest(wavelengths)]
        else:
            self.bands.check(wavelengths, "cube")
        return cast(Batch, batch)

    def _read(self, source: GraphInput) -> Batch:
        """A cube from a file or from memory."""
        wavelengths = None if self.wavelengths is None else [float(nm) for nm in self.wavelengths]
        reading = ReadingOptions(wavelengths=wavelengths)
        reader = SceneReader.of(opened(source, reading), self.bands, reading, match_bands=self.match_bands)
        reader.require_data()
        batch = scene_batch(reader, reader.whole)
        return cast(Batch, {key: self._moved(value) for key, value in batch.items()})

    def _moved(self, value: Any) -> Any:
        """A tensor where the graph is, numbers in its dtype."""
        if not isinstance(value, Tensor):
            return value
        return value.to(self.execution.device, self.execution.dtype if value.is_floating_point() else None)


def _as_tensor(flags: object, cube: Tensor) -> Any:
    """Return flags on the cube's device, those of a single cube (h, w) with its batch axis."""
    if isinstance(flags, np.ndarray) and flags.dtype.kind in "biuf":
        flags = torch.from_numpy(np.ascontiguousarray(np.ma.filled(flags, 0)))
    if not isinstance(flags, Tensor) or flags.is_meta:
        return flags
    single = flags.ndim == 2 and len(cube) == 1
    return (flags[None] if single else flags).to(cube.device)


def _require_data(cube: Tensor) -> None:
    """Raise a `GraphError` that names the bands, if some of them have no finite value in any pixel."""
    # One pixel tells mostly that all bands have data.
    doubtful = torch.nonzero(~torch.isfinite(cube[0, :, 0, 0])).flatten()
    empty = [int(band) for band in doubtful if not torch.isfinite(cube[:, band]).any()]
    if 0 < len(empty) < cube.shape[1]:
        raise GraphError(
            f"cube: expected data in each of the {cube.shape[1]} bands that the graph needs, got none in the "
            f"bands {listed(empty)}. Train a graph without them, or pass `valid=` to have NaN returned."
        )
