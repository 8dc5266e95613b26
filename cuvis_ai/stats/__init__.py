"""Mergeable statistics of pixel streams."""

from cuvis_ai.stats.by_class import ChannelMomentsByClass, MomentsByClass
from cuvis_ai.stats.class_counts import ClassCounts
from cuvis_ai.stats.extrema import Extrema
from cuvis_ai.stats.moments import ChannelMoments, Moments
from cuvis_ai.stats.ranks import merged_over_ranks
from cuvis_ai.stats.score_distribution import ScoreDistribution
from cuvis_ai.stats.sketch import Sketch, Structure, update_all
from cuvis_ai.stats.weighted_moments import WeightedMoments

__all__ = [
    "ChannelMoments",
    "ChannelMomentsByClass",
    "ClassCounts",
    "Extrema",
    "Moments",
    "MomentsByClass",
    "ScoreDistribution",
    "Sketch",
    "Structure",
    "WeightedMoments",
    "merged_over_ranks",
    "update_all",
]
