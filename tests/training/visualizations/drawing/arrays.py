"""What the drawings are tried on: a small cube, its wavelengths, scores and mask, the same in every test."""

import numpy as np
from matplotlib.figure import Figure

_RNG = np.random.default_rng(0)
CUBE = _RNG.normal(size=(6, 8, 5))
NM = np.array([450.0, 465.0, 548.0, 635.0, 900.0])
SCORES = _RNG.chisquare(3, size=(6, 8))
MASK = SCORES > 6


def shown(figure: Figure) -> list[np.ndarray]:
    """Return the images in a figure's panels."""
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]
