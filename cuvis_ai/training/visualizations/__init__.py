"""Pictures: leaves that take in a validation epoch and draw it; each drawing lives in `drawing`.

Invalid pixels enter no picture. A picture of one cube shows the cube with the most anomalous pixels,
the first of them, so that it is the same in every epoch. On several ranks each sees its own share of
the data, and the first rank's pictures are recorded.
"""

from cuvis_ai.training.visualizations.components import ComponentPlot, PCAVisualization
from cuvis_ai.training.visualizations.scores import AnomalyHeatmap, PrecisionRecallPlot, ScoreHistogram
from cuvis_ai.training.visualizations.spectra import SpectraPlot

__all__ = [
    "AnomalyHeatmap",
    "ComponentPlot",
    "PCAVisualization",
    "PrecisionRecallPlot",
    "ScoreHistogram",
    "SpectraPlot",
]
