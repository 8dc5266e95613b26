"""The picture of spectra."""

from collections.abc import Mapping
from typing import Any

from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.bases import Picture, Read, View, Visualization
from cuvis_ai.stats import ChannelMoments, update_all
from cuvis_ai.training.visualizations.collected import array, classes_of, spectra_of
from cuvis_ai.training.visualizations.drawing.mean_spectra import draw_spectra


class SpectraPlot(Visualization):
    """Mean ± standard deviation of normal and anomalous spectra that enter the parent (`spectra`).

    The axis is the batches' `wavelengths`, where they fit the number of channels.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.
    """

    def __init__(self, *, log_frequency: int = 1) -> None:
        super().__init__(log_frequency)
        self.reset()

    def reads(self) -> frozenset[Read]:
        """The parent's input."""
        return frozenset({Read.INPUT})

    def reset(self) -> None:
        """Forget what was collected."""
        self._normal, self._anomalous = ChannelMoments(), ChannelMoments()
        self._truth = False
        self._wavelengths: Any = None
        self._quantity = ""

    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        """Take in the spectra of a batch."""
        normal, anomalous = classes_of(view, batch, view[Read.INPUT])
        pixels = pixels_of(view[Read.INPUT])
        update_all([self._normal], pixels, normal)
        update_all([self._anomalous], pixels, anomalous)
        self._truth |= batch.get("mask") is not None
        self._quantity = f"input of {view.parent.name} (its units)"
        if batch.get("wavelengths") is not None:
            self._wavelengths = array(batch["wavelengths"])

    def draw(self) -> list[Picture]:
        """Return `spectra`."""
        normal, anomalous = spectra_of(self._normal), spectra_of(self._anomalous)
        if normal is None and anomalous is None:
            return []
        figure = draw_spectra(
            normal, anomalous, self._wavelengths, quantity=self._quantity, truth_known=self._truth
        )
        drawn = {} if self._wavelengths is None else {"wavelengths": self._wavelengths}
        for name, spectra in (("normal", normal), ("anomalous", anomalous)):
            if spectra is not None:
                drawn |= {f"{name}_mean": spectra.mean, f"{name}_std": spectra.spread}
        return [Picture("spectra", figure, drawn)]
