"""Graphs applied to scenes of any size: score maps, masks, detections and pictures on disk."""
