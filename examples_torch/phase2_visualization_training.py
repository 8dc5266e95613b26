"""Phase 2: look at what phase 1 fitted, in pictures, TensorBoard and a report.

    python examples_torch/phase2_visualization_training.py
    python examples_torch/phase2_visualization_training.py visualization_leaves.histogram.bins=50
    python examples_torch/phase2_visualization_training.py --help

The configurations are in `cuvis_ai/conf`; `docs/tutorials/phase2_visualization.md` does the same in Python,
step by step.
"""

from cuvis_ai.cli import run_hydra

if __name__ == "__main__":
    run_hydra("phase2_config")
