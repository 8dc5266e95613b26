"""Pictures of pixels in the space of the components."""

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import pixels_of
from cuvis_ai.leaf import (
    VARIANCE_OBSERVATIONS,
    Observation,
    Picture,
    Read,
    Sketches,
    View,
    Visualization,
    explained_by,
    projection_of,
)
from cuvis_ai.node.base import Node, require
from cuvis_ai.training.visualizations.drawing.composite import draw_scene
from cuvis_ai.training.visualizations.drawing.projection import Subsample, draw_scatter
from cuvis_ai.training.visualizations.scene import SceneChoice, array, classes_of


class PCAVisualization(Visualization):
    """Pixels over each pair of components (`scatter`), and one scene in their colours (`overview`).

    Args:
        n_dims: components over which pixels are drawn; 2 or 3.
        subsample: pixels of each class that are drawn at most, taken evenly; 1 or more.
        show_variance: whether axes say which share of the variance each component explains, which
            reads the parent's input too.
        log_frequency: draws in every n-th validation epoch; 1 or more.

    Example:
        >>> import torch
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> view, pca = PCAVisualization(show_variance=False), TrainablePCA(2)
        >>> batch = {"cube": torch.rand(1, 5, 4, 4), "mask": torch.eye(4, dtype=torch.bool)[None]}
        >>> view.collect(View(pca, {Read.OUTPUT: torch.rand(1, 2, 4, 4)}), batch)
        >>> [(picture.name, len(picture.data)) for picture in view.draw(pca, {})]
        [('scatter', 2), ('overview', 4)]
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

    @override
    def check_parent(self, parent: Node, channels: int | None) -> None:
        projection_of(parent, self)
        if channels is not None and channels < self.n_dims:
            raise GraphError(
                f"{self.label}: expected a parent with at least n_dims={self.n_dims} components, got "
                f"{channels} from {parent.label}. Choose a smaller n_dims or more components."
            )

    @override
    def observes(self) -> Mapping[str, Observation]:
        return VARIANCE_OBSERVATIONS if self.show_variance else {}

    @override
    def reads(self) -> frozenset[Read]:
        return frozenset({Read.OUTPUT})

    @override
    def reset(self) -> None:
        self._normal, self._anomalous = (Subsample(self.subsample, self.n_dims) for _ in range(2))
        self._scene = SceneChoice()

    @override
    def collect(self, view: View, batch: Mapping[str, Any]) -> None:
        scores = view[Read.OUTPUT]
        pixels, classes = pixels_of(scores), classes_of(view, batch, scores)
        for sample, chosen in zip((self._normal, self._anomalous), classes, strict=True):
            sample.update(array(pixels[chosen, : self.n_dims]))
        self._scene.offer(scores, view, batch)

    @override
    def draw(self, parent: Node, sketches: Sketches) -> list[Picture]:
        scene = self._scene.chosen
        if scene is None:
            return []
        drawn = {"normal": self._normal.rows, "anomalous": self._anomalous.rows}
        if self.show_variance and sketches["scores"].count:
            shares = explained_by(projection_of(parent, self), sketches["input"], sketches["scores"])
            drawn["shares"] = array(shares.per_component)
        rare = None if scene.mask is None else drawn["anomalous"]
        scatter = draw_scatter(drawn["normal"], rare, drawn.get("shares"))
        overview = draw_scene(scene.image, scene.title, scene.values, scene.mask, scene.name)
        return [Picture("scatter", scatter, drawn), Picture("overview", overview, scene.arrays())]
