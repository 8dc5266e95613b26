"""The picture of spectra."""

from collections.abc import Mapping

from typing_extensions import override

from cuvis_ai.leaf import Observation, Picture, Read, Sketches, Truth
from cuvis_ai.node.base import Node
from cuvis_ai.stats import ChannelMoments, ChannelMomentsByClass
from cuvis_ai.training.visualizations.drawing.mean_spectra import Spectra, draw_spectra
from cuvis_ai.training.visualizations.scene import OverWavelengths, array


class SpectraPlot(OverWavelengths):
    """Mean ± standard deviation of normal and anomalous spectra that enter the parent (`spectra`).

    The axis is the batches' `wavelengths`, where they fit the number of channels.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.

    Example:
        >>> import torch
        >>> from cuvis_ai.anomaly.rx_detector import RXGlobal
        >>> spectra = ChannelMomentsByClass()
        >>> spectra.update(
        ...     torch.tensor([[1.0, 5.0], [3.0, 5.0], [9.0, 0.0]]), truth=torch.tensor([False, False, True])
        ... )
        >>> [picture] = SpectraPlot().draw(RXGlobal(), {"spectra": spectra})
        >>> picture.data["normal_mean"].tolist(), picture.data["normal_std"].tolist()
        ([2.0, 5.0], [1.0, 0.0])
    """

    @override
    def observes(self) -> Mapping[str, Observation]:
        return {"spectra": Observation(Read.INPUT, ChannelMomentsByClass, Truth.USED)}

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        moments: ChannelMomentsByClass = sketches["spectra"]
        if moments.count == 0:
            return []
        spectra = {"normal": spectra_of(moments.normal), "anomalous": spectra_of(moments.anomalous)}
        figure = draw_spectra(
            spectra["normal"],
            spectra["anomalous"],
            self.wavelengths,
            quantity=f"input of {parent.name} (its units)",
            truth_known=moments.truth_known,
        )
        drawn = {} if self.wavelengths is None else {"wavelengths": self.wavelengths}
        for name, one in spectra.items():
            if one is not None:
                drawn |= {f"{name}_mean": one.mean, f"{name}_std": one.spread}
        return [Picture("spectra", figure, drawn)]


def spectra_of(moments: ChannelMoments) -> Spectra | None:
    """Return mean and standard deviation (ddof = 0) of a class; None without pixels."""
    if moments.count == 0:
        return None
    return Spectra(array(moments.mean), array(moments.variance(ddof=0).sqrt()), moments.count)
