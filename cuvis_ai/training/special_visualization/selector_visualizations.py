"""Pictures of a choice of bands; their history is the node's, so that a resumed run goes on with it."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from typing_extensions import override

from cuvis_ai.functional.soft_selection import jaccard
from cuvis_ai.leaf import (
    Observation,
    Picture,
    Read,
    Sketches,
    Truth,
    Visualization,
    needs_choice,
    selection_of,
)
from cuvis_ai.node.base import Node
from cuvis_ai.stats import ChannelMomentsByClass
from cuvis_ai.training.visualizations.drawing.chosen_bands import (
    draw_choice,
    draw_stability,
    draw_temperatures,
)
from cuvis_ai.training.visualizations.scene import OverWavelengths, array
from cuvis_ai.training.visualizations.spectra_plot import spectra_of


class SelectorTemperaturePlot(Visualization):
    """The temperature of each epoch, T_init and T_min as guides (`temperature`).

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.

    Example:
        >>> from cuvis_ai.node.selector import SoftChannelSelector
        >>> selector = SoftChannelSelector(1)
        >>> selector.set_state(
        ...     logits=torch.tensor([2.0, 0.0]), history=torch.tensor([[0.0, 5.0, 0.0], [1.0, 4.5, 0.0]])
        ... )
        >>> [picture] = SelectorTemperaturePlot().draw(selector, {})
        >>> picture.data["temperature"].tolist()  # of epochs 0 and 1
        [5.0, 4.5]
    """

    check_parent = needs_choice

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        selection = selection_of(parent, self)
        trained = selection.history[selection.history[:, 0] >= 0]
        epochs, temperatures = array(trained[:, 0]), array(trained[:, 1])
        if not len(epochs):
            return []
        limits = selection.temperature_init, selection.temperature_min
        figure = draw_temperatures(epochs, temperatures, *limits)
        return [Picture("temperature", figure, {"epoch": epochs, "temperature": temperatures})]


class SelectorChannelMaskPlot(OverWavelengths):
    """Weights and chosen bands above the mean spectra of normal and anomalous pixels (`channel_mask`).

    The axis is the node's wavelengths, or else the batches'.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.

    Example:
        >>> from cuvis_ai.node.selector import SoftChannelSelector
        >>> selector, spectra = SoftChannelSelector(2), ChannelMomentsByClass()
        >>> selector.logits.data = torch.tensor([0.0, 3.0, 1.0, 2.0])
        >>> spectra.update(torch.rand(10, 4), truth=torch.arange(10) == 9)
        >>> [picture] = SelectorChannelMaskPlot().draw(selector, {"spectra": spectra})
        >>> picture.data["chosen"].tolist()
        [1, 3]
    """

    def __init__(self, log_frequency: int = 5) -> None:
        super().__init__(log_frequency)

    check_parent = needs_choice

    @override
    def observes(self) -> Mapping[str, Observation]:
        return {"spectra": Observation(Read.INPUT, ChannelMomentsByClass, Truth.USED)}

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        selection, moments = selection_of(parent, self), sketches["spectra"]
        with torch.no_grad():
            weights = array(selection.get_selection_weights(hard=False))
        chosen = selection.get_selected_channels()
        known = len(selection.wavelengths) == len(weights)
        nm = array(selection.wavelengths) if known else self.wavelengths
        spectra = {
            "normal" if moments.truth_known else "all": spectra_of(moments.normal),
            "anomalous": spectra_of(moments.anomalous),
        }
        figure = draw_choice(weights, chosen.tolist(), spectra, nm)
        axis = {} if nm is None else {"wavelengths": nm}
        return [Picture("channel_mask", figure, {"weights": weights, "chosen": array(chosen), **axis})]


class SelectorStabilityPlot(Visualization):
    """Jaccard's similarity of successive choices, and how many bands changed (`stability`).

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.

    Example:
        >>> from cuvis_ai.node.selector import SoftChannelSelector
        >>> selector = SoftChannelSelector(2)  # bands 0 and 1 in epoch 0, then 0 and 2
        >>> epochs = torch.tensor([[0.0, 5.0, 0.0, 1.0], [1.0, 4.5, 0.0, 2.0]])
        >>> selector.set_state(logits=torch.tensor([2.0, 0.0, 1.0]), history=epochs)
        >>> [picture] = SelectorStabilityPlot().draw(selector, {})
        >>> picture.data["changed"].tolist(), round(float(picture.data["similarity"][0]), 3)
        ([1], 0.333)
    """

    check_parent = needs_choice

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        history = selection_of(parent, self).history.cpu()
        choices = history[:, 2:].long()
        if len(choices) < 2:
            return []
        pairs = list(pairwise(choices))
        epochs = array(history[1:, 0])
        similarity = np.array([jaccard(before, after) for before, after in pairs])
        changed = np.array([len(set(after.tolist()) - set(before.tolist())) for before, after in pairs])
        figure = draw_stability(epochs, similarity, changed)
        return [Picture("stability", figure, {"epoch": epochs, "similarity": similarity, "changed": changed})]
