"""The detector of a study's bands: a graph that reads these alone."""

import torch

from cuvis_ai.anomaly.rx_detector import RXGlobal
from cuvis_ai.band_study.study_rows import BandStudy
from cuvis_ai.node.selector import SoftChannelSelector
from cuvis_ai.pipeline.graph import Graph
from cuvis_ai.pipeline.trained_bands import TrainedBands


def chosen_detector(study: BandStudy) -> Graph:
    """Return RX on the bands of the first method's marked row, fitted from the study's moments.

    Saved, it is what `graph.predict` and `cuvis-ai predict` apply to scenes of all bands, or of these alone.

    Args:
        study: of the scenes that it is fitted to.

    Example:
        >>> from cuvis_ai.band_study import study_bands
        >>> graph = chosen_detector(study_bands("scene.hdr", k=[3]))
        >>> len(graph.needed_channels)
        3
    """
    row = next(row for row in study.rows if row.sufficient)
    graph = Graph("chosen_bands")
    selector = graph.add_node(SoftChannelSelector(row.k, init_method="explained", trainable=False))
    rx = graph.add_node(RXGlobal(), parent=selector)
    moments = study.moments.whole()
    chosen = torch.zeros(moments.channels)
    chosen[[study.kept.index(band) for band in row.bands]] = 1.0
    selector.logits.data = chosen
    if study.wavelengths is not None:
        selector.receive_wavelengths(study.wavelengths)
    selector.finalize(moments)
    rx.finalize(moments.through(selector.affine().double()))
    graph.bands = TrainedBands.of(study.wavelengths, study.kept)
    return graph
