"""The study of how many bands a camera needs, and which."""

from cuvis_ai.band_study.chosen_detector import chosen_detector
from cuvis_ai.band_study.study import study_bands
from cuvis_ai.band_study.study_rows import BandStudy, StudyRow

__all__ = ["BandStudy", "StudyRow", "chosen_detector", "study_bands"]
