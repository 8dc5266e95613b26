"""The base of pictures over wavelength."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cuvis_ai.leaf.bases import Visualization
from cuvis_ai.leaf.reading import View
from cuvis_ai.training.visualizations.scene import Array, array


class OverWavelengths(Visualization):
    """Holds the batches' `wavelengths`, the axis of a picture where they fit the number of channels.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.
    """

    def __init__(self, log_frequency: int = 1) -> None:
        super().__init__(log_frequency)
        self.reset()

    @override
    def reset(self) -> None:
        self.wavelengths: Array | None = None

    @override
    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        if batch.get("wavelengths") is not None:
            self.wavelengths = array(batch["wavelengths"])
