"""The picture of component weights."""

from typing_extensions import override

from cuvis_ai.leaf import Picture, Sketches, needs_components, projection_of
from cuvis_ai.node.base import Node
from cuvis_ai.training.visualizations.drawing.mean_spectra import draw_components
from cuvis_ai.training.visualizations.scene import OverWavelengths, array


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

    check_parent = needs_components

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        weights = array(projection_of(parent, self).components)
        figure = draw_components(weights, self.wavelengths)
        axis = {} if self.wavelengths is None else {"wavelengths": self.wavelengths}
        return [Picture("components", figure, {"components": weights, **axis})]
