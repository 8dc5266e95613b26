"""Phase 1: fit normalizer, PCA and RX detector in closed form; nothing is trained by gradients.

    python examples_torch/phase1_statistical_training.py
    python examples_torch/phase1_statistical_training.py nodes.pca.n_components=5
    python examples_torch/phase1_statistical_training.py --help

The configurations are in `cuvis_ai/conf`; `docs/tutorials/phase1_statistical.md` does the same in Python,
step by step.
"""

from cuvis_ai.cli import run_hydra

if __name__ == "__main__":
    run_hydra("phase1_config")
