"""Whether the shapes of a node's fitted state agree with each other and with its arguments."""

from cuvis_ai.errors import GraphError
from cuvis_ai.node.base import AffineNode, FittedNode, Node, has_pointwise
from cuvis_ai.stats import Structure


def check_state(name: str, node: Node) -> None:
    """Raise a `GraphError` unless the shapes of a node's state agree with each other and its arguments."""
    shapes = {state: tuple(getattr(node, state).shape) for state in node.state_shapes}
    empty = {state for state, shape in shapes.items() if shape == (0,)}
    known = node.initial_state() if isinstance(node, FittedNode) else {}
    if empty and empty == set(shapes) - set(known):
        return  # not fitted
    sizes: dict[str, int] = {}
    for state, axes in node.state_shapes.items():
        letters, shape = axes.split(), shapes[state]
        agrees = len(letters) == len(shape) and all(
            (int(letter) if letter.isdigit() else sizes.setdefault(letter, size)) == size
            for letter, size in zip(letters, shape, strict=True)
        )
        if not agrees:
            so_far = ", ".join(f"{letter} = {size}" for letter, size in sizes.items())
            raise GraphError(f"node `{name}`: {state}: expected a shape ({axes}) with {so_far}, got {shape}.")
    if not isinstance(node, AffineNode) or node.structure is Structure.OPAQUE:
        return
    if has_pointwise(node) or not node.fitted:
        return
    affine = node.affine()
    promised = node.out_channels(affine.in_channels)
    if promised not in (None, affine.out_channels):
        raise GraphError(
            f"node `{name}`: expected weights for {promised} channels, got {affine.out_channels}."
        )
