"""Pictures of nodes with components."""

from collections.abc import Mapping
from typing import Any

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf.bases import Picture, Read, View, Visualization, components_of
from cuvis_ai.node.base import HasComponents, Node, require
from cuvis_ai.stats import ChannelMoments, Moments, update_all
from cuvis_ai.training.visualizations.collected import SceneChoice, array, classes_of, variance_shares
from cuvis_ai.training.visualizations.drawing.composite import draw_scene
from cuvis_ai.training.visualizations.drawing.mean_spectra import draw_components
from cuvis_ai.training.visualizations.drawing.projection import Subsample, draw_scatter


class PCAVisualization(Visualization):
    """Pixels over each pair of components (`scatter`), and one cube in their colours (`overview`).

    Args:
        n_dims: components over which pixels are drawn; 2 or 3.
        subsample: pixels of each class that are drawn at most, taken evenly; 1 or more.
        show_variance: whether axes say which share of the variance each component explains, which
            reads the parent's input too.
        log_frequency: draws in every n-th validation epoch; 1 or more.
    """

    def __init__(
        self, n_dims: int = 2, subsample: int = 5000, show_variance: bool = True, *, log_frequency: int = 1
    ) -> None:
        require(n_dims in (2, 3), "PCAVisualization: n_dims", "2 or 3", n_dims)
        require(subsample >= 1, "PCAVisualization: subsample", "1 or more", subsample)
        super().__init__(log_frequency)
        self.n_dims = n_dims
        self.subsample = subsample
        self.show_variance = show_variance
        self.reset()

    def check_parent(self, parent: Node, channels: int | None) -> None:
        """The parent needs components, at least `n_dims` of them."""
        components_of(parent, self)
        if channels is not None and channels < self.n_dims:
            raise GraphError(
                f"{self.label}: expected a parent with at least n_dims={self.n_dims} components, got "
                f"{channels} from {parent.label}. Choose a smaller n_dims or more components."
            )

    def reads(self) -> frozenset[Read]:
        """Scores; the input for shares of the variance."""
        return frozenset({Read.OUTPUT, Read.INPUT} if self.show_variance else {Read.OUTPUT})

    def reset(self) -> None:
        """Forget what was collected."""
        self._normal, self._anomalous = (Subsample(self.subsample, self.n_dims) for _ in range(2))
        self._entering, self._scores = ChannelMoments(), Moments()
        self._scene = SceneChoice()
        # In a tuple, since torch would take a bare one for a part of the leaf.
        self._parents: tuple[HasComponents, ...] = ()

    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        """Take in a sample of the scores, their moments, and a cube."""
        self._parents = (components_of(view.parent, self),)
        pixels, classes = pixels_of(view[Read.OUTPUT]), classes_of(view, batch, view[Read.OUTPUT])
        for sample, chosen in zip((self._normal, self._anomalous), classes, strict=True):
            sample.update(array(pixels[chosen, : self.n_dims]))
        if self.show_variance:
            valid = classes.normal | classes.anomalous
            update_all([self._scores], pixels, valid)
            update_all([self._entering], pixels_of(view[Read.INPUT]), valid)
        self._scene.offer(view[Read.OUTPUT], view, batch)

    def draw(self) -> list[Picture]:
        """Return `scatter` and `overview`."""
        scene = self._scene.chosen
        if scene is None:
            return []
        drawn = {"normal": self._normal.rows, "anomalous": self._anomalous.rows}
        if self._scores.count:
            drawn["shares"] = variance_shares(self._parents[0], self._entering, self._scores)
        rare = None if scene.mask is None else drawn["anomalous"]
        scatter = draw_scatter(drawn["normal"], rare, drawn.get("shares"))
        overview = draw_scene(scene.image, scene.title, scene.values, scene.mask)
        return [Picture("scatter", scatter, drawn), Picture("overview", overview, scene.arrays())]


class ComponentPlot(Visualization):
    """The weights of each component over wavelength (`components`); reads weights alone.

    Where batches are read for another leaf, and have `wavelengths` that fit, these are the axis.

    Args:
        log_frequency: draws in every n-th validation epoch; 1 or more.
    """

    def __init__(self, *, log_frequency: int = 1) -> None:
        super().__init__(log_frequency)
        self.reset()

    def check_parent(self, parent: Node, channels: int | None) -> None:
        """The parent needs components."""
        components_of(parent, self)

    def reset(self) -> None:
        """Forget what was collected."""
        # In a tuple, since torch would take a bare one for a part of the leaf.
        self._parents: tuple[HasComponents, ...] = ()
        self._wavelengths: Any = None

    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        """Take in the parent and the wavelengths."""
        self._parents = (components_of(view.parent, self),)
        if batch.get("wavelengths") is not None:
            self._wavelengths = array(batch["wavelengths"])

    def draw(self) -> list[Picture]:
        """Return `components`."""
        if not self._parents:
            return []
        weights = array(self._parents[0].components)
        figure = draw_components(weights, self._wavelengths)
        axis = {} if self._wavelengths is None else {"wavelengths": self._wavelengths}
        return [Picture("components", figure, {"components": weights, **axis})]
