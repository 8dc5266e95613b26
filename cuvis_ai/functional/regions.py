"""Connected anomalous regions of a mask, or of pixels gathered from many."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cuvis_ai.types import PixelMask


def region_weights(mask: PixelMask, valid: PixelMask | None = None) -> Float[Tensor, "b h w"]:
    """Return 1 / size of its region for each anomalous pixel, and 0 for each normal one.

    A region is a set of valid anomalous pixels of one cube that touch at an edge or a corner. Its
    weights sum to 1, so a sum of weights counts regions, and the weights of the pixels above a
    threshold sum to the regions' overlaps with the prediction: with them AUPRO is a weighted
    histogram of scores and can be merged. An invalid pixel belongs to no region, whatever the mask
    says there; it can part one region into two.

    Shape:
        mask, valid (b, h, w) → (b, h, w); float64 on the CPU, where scores are counted.

    Example:
        >>> region_weights(torch.tensor([[[True, True, False, False, True]]])).tolist()
        [[[0.5, 0.5, 0.0, 0.0, 1.0]]]
    """
    anomalous = (mask if valid is None else mask & valid).cpu().numpy()
    labels = _labels(anomalous)
    sizes = np.bincount(labels.ravel())
    return torch.from_numpy(anomalous / sizes[labels])


def _labels(anomalous: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the regions from 1 on, cube by cube; 0 is normal."""
    from scipy import ndimage  # heavy; only metrics with masks need it

    # All eight neighbours within a cube, none in the cubes before and after.
    neighbours = np.pad(np.ones((1, 3, 3), dtype=bool), ((1, 1), (0, 0), (0, 0)))
    labels: NDArray[np.int32] = ndimage.label(anomalous, structure=neighbours)[0]
    return labels


def open_regions(
    mask: PixelMask, counted: PixelMask | None, sizes: Sequence[tuple[int, int]]
) -> NDArray[np.bool_]:
    """Return the counted pixels of those regions that may go on outside of their tile.

    They touch the tile's edge, or hold a pixel that does not count here and may count in another tile.

    Args:
        mask: anomalies (b, h, w).
        counted: False at pixels that do not count; None if all do.
        sizes: height and width of each tile; what lies beyond is padding.

    Example:
        >>> mask = torch.zeros(1, 4, 4, dtype=torch.bool)
        >>> mask[0, 0, 0] = mask[0, 2, 2] = True  # one region touches the edge
        >>> open_regions(mask, None, [(4, 4)]).nonzero()[1].tolist()
        [0]
    """
    anomalous = mask.cpu().numpy()
    doubtful = np.zeros_like(anomalous) if counted is None else ~counted.cpu().numpy()
    within = ~doubtful
    for tile, (height, width) in zip(doubtful, sizes, strict=True):
        tile[[0, height - 1], :width] = tile[:height, [0, width - 1]] = True
    labels = _labels(anomalous)
    is_open = np.zeros(labels.max() + 1, dtype=bool)
    is_open[labels[doubtful & anomalous]] = True
    found: NDArray[np.bool_] = is_open[labels] & anomalous & within
    return found


def region_sizes(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return, for each anomalous pixel of a scene, how many there are in its region.

    Args:
        places: row and column of each (n, 2), in order of rows, then columns, each once.

    Example:
        >>> region_sizes(np.array([[0, 0], [0, 1], [5, 5]])).tolist()
        [2, 2, 1]
    """
    from scipy.sparse import coo_array  # heavy; only metrics with masks need it
    from scipy.sparse.csgraph import connected_components

    n = len(places)
    # Rows so far apart that the last column of one is no neighbour of the first of the next.
    stride = np.array([places[:, 1].max(initial=0) + 3, 1])
    keys = places @ stride
    pairs = []
    for step in ((0, 1), (1, -1), (1, 0), (1, 1)):
        wanted = (places + step) @ stride
        at = np.minimum(np.searchsorted(keys, wanted), n - 1)
        beside = np.flatnonzero(keys[at] == wanted)
        pairs.append(np.stack([beside, at[beside]]))
    one, other = np.concatenate(pairs, axis=1)
    _, labels = connected_components(
        coo_array((np.ones(len(one)), (one, other)), shape=(n, n)), directed=False
    )
    sizes: NDArray[np.int64] = np.bincount(labels)[labels]
    return sizes
