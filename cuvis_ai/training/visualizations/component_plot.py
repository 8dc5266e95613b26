"""The picture of component weights."""

from typing_extensions import override

from cuvis_ai.leaf.bases import Picture
from cuvis_ai.leaf.components import projection_of
from cuvis_ai.leaf.reading import Sketches
from cuvis_ai.node.base import Node
from cuvis_ai.training.visualizations.drawing.mean_spectra import draw_components
from cuvis_ai.training.visualizations.scene import array
from cuvis_ai.training.visualizations.wavelength_axis import OverWavelengths


class ComponentPlot(OverWavelengths):
    """The weights of each component over wavelength (`components`); reads weights alone.

    Where batches are read for another leaf, and have `wavelengths` that fit, these are the axis.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.

    Example:
        >>> import torch
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> pca = TrainablePCA(2)
        >>> pca.set_state(components=torch.eye(2, 3))
        >>> [picture] = ComponentPlot().draw(pca, {})
        >>> picture.name, picture.data["components"].shape
        ('components', (2, 3))
    """

    def __init__(self, *, log_frequency: int = 1) -> None:
        super().__init__(log_frequency)

    @override
    def check_parent(self, parent: Node, channels: int | None) -> None:
        projection_of(parent, self)

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        weights = array(projection_of(parent, self).components)
        figure = draw_components(weights, self.wavelengths)
        axis = {} if self.wavelengths is None else {"wavelengths": self.wavelengths}
        return [Picture("components", figure, {"components": weights, **axis})]
