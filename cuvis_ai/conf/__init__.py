"""Hydra configurations; `examples_torch` and `cuvis-ai train` run them."""
