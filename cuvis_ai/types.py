"""Names for the arrays and records that travel through the project.

Axis letters: b batch, c channel, h row, w column, n pixel, k component.
"""

from typing import Any, NamedTuple, Required, TypedDict

from jaxtyping import Bool, Float, Int, Num
from torch import Tensor

CubeTensor = Float[Tensor, "b c h w"]
"""A batch of cubes; the strides are channels-last, so that its pixels are a view."""

MappedCube = Float[Tensor, "b k h w"]
"""What a node makes of a batch of cubes."""

PixelMatrix = Float[Tensor, "n c"]
"""One spectrum a row."""

PixelMask = Bool[Tensor, "b h w"]
"""One flag a pixel."""

Point = tuple[str, ...]
"""Where data can be looked at in a graph: the outputs of the named nodes, concatenated along channels."""

SOURCE = "<cube>"
"""Stands for the cube that enters the graph in a `Point`."""

CUBE: Point = (SOURCE,)
"""The cube that enters the graph."""

Labels = Num[Tensor, "..."]
"""Labels in whatever shape the data set has them."""


class Batch(TypedDict, total=False):
    """What a data loader yields; every key but `cube` is optional."""

    cube: Required[CubeTensor]
    """The measured values, float32."""
    mask: PixelMask
    """True where a pixel is an anomaly."""
    valid: PixelMask
    """False where a pixel holds no data: it enters no statistic, loss, metric or picture, and no window."""
    core: PixelMask
    """False where a pixel is context of a tile: windows see it, but no statistic, loss, metric or picture
    counts it; absent where there is none."""
    labels: Labels
    """Labels as the data set has them."""
    wavelengths: Float[Tensor, " c"]
    """Band centres in nm."""
    name: list[str]
    """One readable name a cube; a tile's is its scene's, to which `[top:bottom,left:right]` may be added."""
    scale: list[str]
    """What each cube's numbers stand for, as `ReadScale.text`, where a file says it to `read_batch`."""
    window: Int[Tensor, "b 4"]
    """Row, column, height and width of each cube in its scene, where cubes are tiles; with `name` it says
    which tiles belong together."""


class GraphOutput(NamedTuple):
    """What calling a graph returns: `scores, labels, metadata = graph(cube)`."""

    output: CubeTensor
    """The end node's output; NaN at invalid pixels."""
    labels: Labels | None
    """The labels that were passed in, unchanged."""
    metadata: dict[str, Any]
    """`valid` (b, h, w) where some pixel is invalid, and whatever was passed in."""
