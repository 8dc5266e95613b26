"""Decoders: nodes that give back the spectra that entered an encoder.

A decoder refers to its encoder by name. The reference is resolved by the graph, saved as the name,
and does not make the encoder a submodule.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from cuvis_ai.errors import GraphError
from cuvis_ai.functional.affine import Affine
from cuvis_ai.node.base import HasComponents, Node, require
from cuvis_ai.stats import Moments, Sketch, Structure
from cuvis_ai.types import CubeTensor, MappedCube


def _name_of(node: Node | str, where: str) -> str:
    """Return a node's name in its graph."""
    name = node if isinstance(node, str) else node.name
    require(name is not None, where, "a node that is in a graph, or its name", node, "Add it first.")
    assert name is not None
    return name


class PCADecoder(Node):
    """Decodes PCA scores with the transpose of the encoder's components: x̂ = mean + Wᵀ (z / scale).

    Tied: it has no weights of its own, and what trains it trains the encoder.

    Shape:
        input (b, k, h, w) → output (b, c, h, w); dtype and device kept.

    Args:
        tied_to: the PCA node, or its name.
    """

    def __init__(self, tied_to: Node | str) -> None:
        super().__init__()
        self.tied_to = _name_of(tied_to, "PCADecoder: tied_to")
        self._encoder: tuple[HasComponents, ...] = ()

    @property
    def structure(self) -> Structure:
        """Dense affine."""
        return Structure.DENSE

    @property
    def references(self) -> tuple[str, ...]:
        """The encoder."""
        return (self.tied_to,)

    @property
    def decodes(self) -> str:
        """The encoder."""
        return self.tied_to

    @property
    def fitted(self) -> bool:
        """Whether the encoder is."""
        return all(isinstance(encoder, Node) and encoder.fitted for encoder in self._encoder) and bool(
            self._encoder
        )

    def bind(self, referenced: Mapping[str, Node]) -> None:
        """Keep the encoder."""
        encoder = referenced[self.tied_to]
        if not isinstance(encoder, HasComponents):
            raise GraphError(
                f"{self.label}: tied_to: expected a node with components, such as TrainablePCA, got "
                f"{encoder.label}. For other encoders use LinearDecoder."
            )
        self._encoder = (encoder,)

    def affine(self) -> Affine:
        """Wᵀ / scale, with the mean as bias."""
        [encoder] = self._encoder
        scale = encoder.scale
        inverse = torch.where(scale > 0, 1.0 / scale, 0.0)
        return Affine(encoder.components.contiguous().T * inverse, torch.zeros_like(scale), encoder.mean)

    def forward(self, cube: CubeTensor) -> MappedCube:
        """Return the decoded spectra (b, c, h, w)."""
        return self.spectral(cube)


class LinearDecoder(Node):
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

    Reference:
        Bishop, "Pattern Recognition and Machine Learning", 2006, §3.1.1.
    """

    state_names = ("weight", "center", "bias")
    state_shapes: ClassVar = {"weight": "c k", "center": "k", "bias": "c"}
    trained_names = ("weight", "bias")
    weight: Tensor
    center: Tensor
    bias: Tensor

    def __init__(self, encoder: Node | str, *, trainable: bool = True) -> None:
        super().__init__(trainable=trainable)
        self.encoder = _name_of(encoder, "LinearDecoder: encoder")
        self._encoder: tuple[Node, ...] = ()

    @property
    def structure(self) -> Structure:
        """Dense affine."""
        return Structure.DENSE

    @property
    def references(self) -> tuple[str, ...]:
        """The encoder."""
        return (self.encoder,)

    @property
    def decodes(self) -> str:
        """The encoder."""
        return self.encoder

    @property
    def fitted_with_input_of(self) -> str:
        """The encoder: its input comes before this node's own."""
        return self.encoder

    @property
    def sketch(self) -> type[Sketch]:
        """Joint moments of the encoder's input and this node's."""
        return Moments

    def bind(self, referenced: Mapping[str, Node]) -> None:
        """Keep the encoder."""
        encoder = referenced[self.encoder]
        if encoder.structure is Structure.OPAQUE:
            raise GraphError(
                f"{self.label}: encoder: expected a node with an affine form, got {encoder.label}."
            )
        self._encoder = (encoder,)

    def finalize(self, sketch: Sketch) -> None:
        """Set the least-squares solution; the first channels of the sketch are the encoder's input."""
        assert isinstance(sketch, Moments)
        [encoder] = self._encoder
        c = encoder.affine().in_channels
        joint = sketch.covariance()
        inverse = torch.linalg.pinv(joint[c:, c:], hermitian=True)
        self.set_state(weight=joint[:c, c:] @ inverse, center=sketch.mean[c:], bias=sketch.mean[:c])

    def affine(self) -> Affine:
        """B, centred at z̄."""
        return Affine(self.weight, self.center, self.bias)

    def forward(self, cube: CubeTensor) -> MappedCube:
        """Return the decoded spectra (b, c, h, w)."""
        return self.spectral(cube)
