"""The options that all data modules share, as flat arguments and as two small records.

A data module takes them as `**options: Unpack[…Arguments]` and passes them on; `flat_signature` shows them
one by one, with the types and defaults that stand here. One more option is a line in `SharedArguments`, one
in the record, and the place where it is applied.
"""

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict, get_args

from cuvis_ai.data.sources.axes import ORDERS
from cuvis_ai.errors import ConfigError

OnError = Literal["raise", "skip"]


class PixelArguments(TypedDict, total=False):
    """Arguments that say which values of a cube count."""

    bad_bands: Sequence[int] | None
    no_data: float | None
    saturation: float | None
    scaled: bool | None


class SharedArguments(PixelArguments, total=False):
    """Arguments that every data module takes; `LoadingOptions` and `ReadingOptions` say what they mean."""

    batch_size: int
    num_workers: int
    seed: int | None
    on_error: OnError


class SceneArguments(PixelArguments, total=False):
    """Arguments that say what one file of any sensor means."""

    wavelengths: Sequence[float] | None
    axes: str | None


class FileArguments(SharedArguments, SceneArguments, total=False):
    """Arguments of data modules whose files may be of any sensor."""


class CubeArguments(FileArguments, total=False):
    """Arguments of data modules whose cubes may differ in size."""

    pad: bool


@dataclass(frozen=True, kw_only=True)
class LoadingOptions:
    """How batches are made."""

    batch_size: int = 4
    """Cubes, or tiles, a batch; 1 or more."""
    num_workers: int = 0
    """Processes that read ahead; 0 reads in this one."""
    seed: int | None = None
    """Of the training order; None takes `PL_GLOBAL_SEED` (which `seed_everything` sets), else 0."""
    pad: bool = False
    """Extend smaller cubes of a batch with `valid=False` pixels instead of refusing them."""

    def problems(self) -> dict[str, bool]:
        """Return what is expected of each value, and whether it is not so."""
        return {
            f"`batch_size` of 1 or more, got {self.batch_size}": self.batch_size < 1,
            f"`num_workers` of 0 or more, got {self.num_workers}": self.num_workers < 0,
            f"`seed` of 0 or more, got {self.seed}": self.seed is not None and self.seed < 0,
        }


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How cubes are read."""

    bad_bands: Sequence[int] | None = None
    """Positions to drop, from 0, in place of the bands that the header flags; an empty list keeps all."""
    wavelengths: Sequence[float] | None = None
    """Band centres in nm of all bands in the files, in place of the files' own."""
    axes: str | None = None
    """Order of the axes of the files' arrays, such as "chw", in place of what the files say or leave open;
    formats that define it keep it: ENVI, .cu3s, one multi-band TIFF image."""
    no_data: float | None = None
    """Value that stands for "no data" in any kept band (0: in all of them), in place of the files' own."""
    saturation: float | None = None
    """Level, in stored numbers, from which on a band counts as saturated; None: never."""
    scaled: bool | None = None
    """Apply the scale factors and offsets that the files declare; False: take the stored numbers, and refuse
    files whose factors differ. None: a graph reads as it was trained, everything else as with False."""
    on_error: OnError = "raise"
    """"raise", or "skip": a cube that cannot be read counts as one without a valid pixel and is logged."""

    def overruling(self) -> set[str]:
        """Return the options that are in place of what files say."""
        options = ("bad_bands", "wavelengths", "axes", "no_data")
        return {name for name in options if getattr(self, name) is not None}

    def problems(self) -> dict[str, bool]:
        """Return what is expected of each value, and whether it is not so."""
        negative = [] if self.bad_bands is None else [band for band in self.bad_bands if band < 0]
        no_centre = (
            [nm for nm in self.wavelengths if not 0 < nm < math.inf] if self.wavelengths is not None else []
        )
        return {
            f"`axes` as one of {', '.join(ORDERS)}, got {self.axes!r}": self.axes not in (None, *ORDERS),
            f"`bad_bands` counted from 0, got {negative[:3]}": bool(negative),
            f"`wavelengths` in nm, finite and above 0, got {no_centre[:3]}": bool(no_centre),
            f"`saturation` as a number, got {self.saturation}": self.saturation != self.saturation,
            f"`scaled` as True, False or None, got {self.scaled!r}": self.scaled not in (None, True, False),
            f'`on_error` "raise" or "skip", got {self.on_error!r}': self.on_error not in get_args(OnError),
        }


def split_options(module: type, options: Mapping[str, Any]) -> tuple[LoadingOptions, ReadingOptions]:
    """Return flat arguments as the two records.

    Args:
        module: the data module's class.
        options: values by argument.

    Raises:
        TypeError: an argument that is unknown.
        ConfigError: values that are impossible; all of them are named at once.
    """
    if unknown := sorted(options.keys() - _DEFAULTS):
        known = ", ".join(inspect.signature(module).parameters)
        raise TypeError(f"{module.__name__}: expected arguments among {known}, got {', '.join(unknown)}.")
    names = {field.name for field in fields(LoadingOptions)}
    loading = LoadingOptions(**{name: value for name, value in options.items() if name in names})
    reading = ReadingOptions(**{name: value for name, value in options.items() if name not in names})
    refuse(module.__name__, loading.problems() | reading.problems())
    return loading, reading


def refuse(where: str, problems: Mapping[str, bool]) -> None:
    """Raise one error for all problems, if there are any.

    Args:
        where: subject of the message.
        problems: what is expected of an argument and what it is; True where that is not so.

    Raises:
        ConfigError: there are problems.
    """
    if found := [problem for problem, wrong in problems.items() if wrong]:
        raise ConfigError(f"{where}: expected {'; '.join(found)}. Correct these arguments.")


def flat_signature(constructor: Callable[..., None]) -> inspect.Signature:
    """Return a constructor's signature, its `**options: Unpack[…Arguments]` replaced by these arguments."""
    _, *own = inspect.signature(constructor).parameters.values()
    parameters = {parameter.name: parameter for parameter in own}
    for parameter in own:
        if typing.get_origin(parameter.annotation) is typing.Unpack:
            del parameters[parameter.name]
            for name, annotation in typing.get_type_hints(*get_args(parameter.annotation)).items():
                shown = parameter.replace(
                    name=name, kind=parameter.KEYWORD_ONLY, default=_DEFAULTS[name], annotation=annotation
                )
                parameters.setdefault(name, shown)
    return inspect.Signature(list(parameters.values()))


_DEFAULTS: dict[str, Any] = {
    field.name: field.default for record in (LoadingOptions, ReadingOptions) for field in fields(record)
}
