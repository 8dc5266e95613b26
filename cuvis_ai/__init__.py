"""Graphs of nodes that turn hyperspectral cubes into trained, monitored, saved pipelines."""

__version__ = "0.1.0"
