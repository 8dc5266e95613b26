"""Pictures: leaves that take in a validation epoch and draw it; each drawing lives in `drawing`.

Invalid pixels enter no picture. A picture of one cube shows the cube with the most anomalous pixels,
the first of them, so that it is the same in every epoch. On several ranks each sees its own share of
the data, and the first rank's pictures are recorded.
"""

from cuvis_ai.training.visualizations.anomaly_heatmap import AnomalyHeatmap
from cuvis_ai.training.visualizations.component_plot import ComponentPlot
from cuvis_ai.training.visualizations.pca_visualization import PCAVisualization
from cuvis_ai.training.visualizations.precision_recall import PrecisionRecallPlot
from cuvis_ai.training.visualizations.score_histogram import ScoreHistogram
from cuvis_ai.training.visualizations.spectra_plot import SpectraPlot

__all__ = [
    "AnomalyHeatmap",
    "ComponentPlot",
    "PCAVisualization",
    "PrecisionRecallPlot",
    "ScoreHistogram",
    "SpectraPlot",
]
