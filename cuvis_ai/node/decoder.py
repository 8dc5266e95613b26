"""Decoders: nodes that give back the spectra that entered an encoder.

A decoder refers to its encoder by name. The reference is resolved by the graph, saved as the name,
and does not make the encoder a submodule.
"""

from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import Affine
from cuvis_ai.node.base import AffineNode, FittedNode, Node, Projects, require
from cuvis_ai.stats import Moments, Structure


def _name_of(node: Node | str, where: str) -> str:
    """Return a node's name in its graph."""
    name = node if isinstance(node, str) else node.name
    require(name is not None, where, "a node that is in a graph, or its name", node, "Add it first.")
    assert name is not None
    return name


class PCADecoder(AffineNode):
    """Decodes PCA scores with the transpose of the encoder's components: x̂ = mean + Wᵀ (z / scale).

    Tied: it has no weights of its own, and what trains it trains the encoder.

    Shape:
        input (b, k, h, w) → output (b, c, h, w); dtype and device kept.

    Args:
        tied_to: the PCA node, or its name.

    Example:
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> from cuvis_ai.pipeline.graph import Graph
        >>> graph, moments = Graph("autoencoder"), Moments()
        >>> pca = graph.add_node(TrainablePCA(1))
        >>> moments.update(torch.tensor([[0.0, 5.0], [2.0, 5.0]]))  # only the first band varies
        >>> pca.finalize(moments)
        >>> decoder = graph.add_node(PCADecoder(tied_to=pca), parent=pca)
        >>> graph(torch.tensor([7.0, 9.0]).view(1, 2, 1, 1)).output.flatten().tolist()
        [7.0, 5.0]
    """

    def __init__(self, tied_to: Node | str) -> None:
        super().__init__()
        self.tied_to = _name_of(tied_to, "PCADecoder: tied_to")
        # In a tuple, since torch would take a bare node for a part of this one.
        self._encoder: tuple[Node, ...] = ()

    def decodes(self) -> str:
        """Return the encoder's name."""
        return self.tied_to

    @property
    def fitted(self) -> bool:
        """Whether the encoder is."""
        return bool(self._encoder) and all(encoder.fitted for encoder in self._encoder)

    def bind(self, encoder: Node) -> None:
        """Receive the encoder."""
        if not isinstance(encoder, Projects):
            raise GraphError(
                f"{self.label}: tied_to: expected a node with components, such as TrainablePCA, got "
                f"{encoder.label}. For other encoders use LinearDecoder."
            )
        self._encoder = (encoder,)

    @override
    def affine(self) -> Affine:
        [encoder] = self._encoder
        assert isinstance(encoder, Projects)
        projection = encoder.projection()
        weight = projection.components.T * projection.inverse_scale
        return Affine(weight, torch.zeros_like(projection.scale), projection.mean)


class LinearDecoder(FittedNode, AffineNode):
    """Decodes with weights of its own: x̂ = B (z − z̄) + bias.

    It starts as the least-squares solution on the training data, B = Σ_xz Σ_zz⁺ and bias = x̄, in
    closed form from the joint moments of what enters the encoder (x) and this node (z).

    Shape:
        input (b, k, h, w) → output (b, c, h, w); dtype and device kept.

    Args:
        encoder: the node whose input is to be given back, or its name.
        trainable: whether B and bias become parameters in the gradient phase.

    State:
        weight (c, k): B.
        center (k,): z̄, the mean of what enters; stays as fitted.
        bias (c,): x̄ at the start.

    Example:
        >>> from cuvis_ai.node.pca import TrainablePCA
        >>> from cuvis_ai.pipeline.graph import Graph
        >>> graph = Graph("autoencoder")
        >>> pca = graph.add_node(TrainablePCA(2))
        >>> decoder = graph.add_node(LinearDecoder(encoder=pca), parent=pca)  # `graph.train` fits both
        >>> decoder.decodes()
        'trainable_pca'

    Reference:
        Bishop, "Pattern Recognition and Machine Learning", 2006, §3.1.1.
    """

    state_shapes: ClassVar = {"weight": "c k", "center": "k", "bias": "c"}
    trained_names = ("weight", "bias")
    weight: Tensor
    center: Tensor
    bias: Tensor
    sketch = Moments

    def __init__(self, encoder: Node | str, *, trainable: bool = True) -> None:
        super().__init__(trainable=trainable)
        self.encoder = _name_of(encoder, "LinearDecoder: encoder")
        self._encoder: tuple[AffineNode, ...] = ()

    def decodes(self) -> str:
        """Return the encoder's name."""
        return self.encoder

    def bind(self, encoder: Node) -> None:
        """Receive the encoder."""
        if not isinstance(encoder, AffineNode) or encoder.structure is Structure.OPAQUE:
            raise GraphError(
                f"{self.label}: encoder: expected a node with an affine form, got {encoder.label}."
            )
        self._encoder = (encoder,)

    @override
    def finalize(self, sketch: Moments) -> None:
        [encoder] = self._encoder
        c = encoder.affine().in_channels  # the first channels of the sketch are the encoder's input
        joint = sketch.covariance()
        inverse = torch.linalg.pinv(joint[c:, c:], hermitian=True)
        self.set_state(weight=joint[:c, c:] @ inverse, center=sketch.mean[c:], bias=sketch.mean[:c])

    @override
    def affine(self) -> Affine:
        return Affine(self.weight, self.center, self.bias)
