"""Measures of score maps against masks: of many scenes together and of each."""
