"""Connected anomalous regions of a mask."""

import numpy as np
import torch
from jaxtyping import Float
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
    """
    from scipy import ndimage  # heavy; only metrics with masks need it

    anomalous = (mask if valid is None else mask & valid).cpu().numpy()
    # All eight neighbours within a cube, none in the cubes before and after.
    neighbours = np.pad(np.ones((1, 3, 3), dtype=bool), ((1, 1), (0, 0), (0, 0)))
    labels, _ = ndimage.label(anomalous, structure=neighbours)
    sizes = np.bincount(labels.ravel())
    return torch.from_numpy(anomalous / sizes[labels])
