"""The part of a graph that the bands which it needs are read for."""

from cuvis_ai.execution.execution import Execution
from cuvis_ai.execution.needed_channels import channels_read, needed_channels, sliced
from cuvis_ai.pipeline.trained_bands import TrainedBands


def needed_part(execution: Execution, bands: TrainedBands) -> tuple[Execution, TrainedBands]:
    """Return what gives a graph's end from the bands that it needs, and which these are; else what is given.

    Args:
        execution: the graph's.
        bands: those of training.
    """
    needed = needed_channels(execution)
    total = None if needed is None else channels_read(execution)
    unlike = bands.wavelengths is not None and len(bands.wavelengths) != total
    if needed is None or total is None or unlike:
        return execution, bands
    return sliced(execution, needed, total), bands.of_needed(needed, total)
