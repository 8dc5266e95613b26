"""Phase 3: fit a graph in closed form, then fine-tune it by gradients.

    python examples_torch/phase3_gradient_training.py
    python examples_torch/phase3_gradient_training.py training.trainer.max_epochs=20
    python examples_torch/phase3_gradient_training.py --config-name demo
    python examples_torch/phase3_gradient_training.py --help

The configurations are in `cuvis_ai/conf`; `docs/tutorials/phase3_gradient_training.md` does the same in
Python, step by step.
"""

from cuvis_ai.cli import run_hydra

if __name__ == "__main__":
    run_hydra("phase3_config")
